//! A `.top` file: servers, their starting tokens, and the links between them.

use std::collections::{BTreeMap, BTreeSet};

use crate::text::{TextError, TextFile};

/// The servers, ascending by the bytes of their names: everywhere else a server is its index in this order.
#[derive(Debug)]
pub(crate) struct Group {
    names: Vec<String>,
    tokens: Vec<u64>,
    links: BTreeSet<(usize, usize)>,
}

impl Group {
    /// Reads the file.
    pub(crate) fn parse(file: &TextFile) -> Result<Self, TextError> {
        let mut lines = file.lines();
        let first = lines
            .next()
            .ok_or_else(|| file.ends_early("empty: the first line says how many servers there are"))?;
        let count = match first.words() {
            [count] => first.number_in(count)?,
            _ => return Err(first.malformed("the first line is one number: how many servers there are")),
        };
        if count == 0 {
            return Err(first.malformed("there is at least one server"));
        }
        let mut servers = BTreeMap::new();
        for found in 0..count {
            let line = lines.next().ok_or_else(|| {
                file.ends_early(format!("{count} servers were announced, {found} are there"))
            })?;
            let [name, tokens] = line.words() else {
                return Err(line.malformed("a server is a name and its starting tokens"));
            };
            let tokens = line.number_in(tokens)?;
            if servers.insert((*name).to_owned(), tokens).is_some() {
                return Err(line.malformed(format!("the server {name} is there twice")));
            }
        }
        let (names, tokens) = servers.into_iter().unzip();
        let mut group = Self { names, tokens, links: BTreeSet::new() };
        for line in lines {
            let [from, to] = line.words() else {
                return Err(line.malformed("a link is two servers: source and destination"));
            };
            let place =
                |name| group.index(name).ok_or_else(|| line.malformed(format!("there is no server {name}")));
            let link = (place(from)?, place(to)?);
            // A link from a server to itself is to be ignored.
            if link.0 != link.1 {
                group.links.insert(link);
            }
        }
        Ok(group)
    }

    /// The server of this name.
    pub(crate) fn index(&self, name: &str) -> Option<usize> {
        self.names.binary_search_by(|other| other.as_str().cmp(name)).ok()
    }

    /// The name of a server.
    pub(crate) fn name(&self, server: usize) -> &str {
        &self.names[server]
    }

    /// How many servers there are.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// What a server has at the start.
    pub(crate) fn starting_tokens(&self, server: usize) -> u64 {
        self.tokens[server]
    }

    /// What all have at the start, together.
    pub(crate) fn total(&self) -> u128 {
        self.tokens.iter().copied().map(u128::from).sum()
    }

    /// The links, ascending by source, then destination.
    pub(crate) fn links(&self) -> impl Iterator<Item = (usize, usize)> {
        self.links.iter().copied()
    }
}
