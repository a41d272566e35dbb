//! A `.snap` file: what a snapshot must have recorded.

use std::collections::BTreeMap;

use crate::text::{TextError, TextFile};

/// What a snapshot recorded, or must have recorded. Servers by name, for an expectation may name any.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Recorded {
    /// What each server had.
    pub(crate) tokens: BTreeMap<String, u128>,
    /// The messages in flight by source and destination, each channel in order. No channel is empty.
    pub(crate) channels: BTreeMap<(String, String), Vec<u128>>,
}

/// The content of a file.
#[derive(Debug)]
pub(crate) struct Expectation {
    /// Which snapshot, counted from 0 in the order of their beginning.
    pub(crate) snapshot: u64,
    /// What it must have recorded.
    pub(crate) recorded: Recorded,
}

impl Recorded {
    /// Adds a message behind those of its channel.
    pub(crate) fn push(&mut self, from: &str, to: &str, tokens: u128) {
        self.channels.entry((from.to_owned(), to.to_owned())).or_default().push(tokens);
    }
}

impl Expectation {
    /// Reads the file.
    pub(crate) fn parse(file: &TextFile) -> Result<Self, TextError> {
        let mut snapshot = None;
        let mut recorded = Recorded::default();
        for line in file.lines() {
            match line.words() {
                [id] => {
                    let id = line.number_in(id)?;
                    if snapshot.replace(id).is_some() {
                        return Err(line.malformed("a second snapshot id: one snapshot a file"));
                    }
                }
                [server, tokens] => {
                    let tokens = line.number_in(tokens)?.into();
                    if recorded.tokens.insert((*server).to_owned(), tokens).is_some() {
                        return Err(line.malformed(format!("the server {server} is there twice")));
                    }
                }
                [from, to, message] => {
                    let tokens = message.strip_prefix("token(").and_then(|rest| rest.strip_suffix(')'));
                    let tokens =
                        tokens.ok_or_else(|| line.malformed(format!("'{message}' is no 'token(N)'")))?;
                    recorded.push(from, to, line.number_in(tokens)?.into());
                }
                _ => {
                    let what = "a line is a snapshot id, or 'SERVER TOKENS', or 'FROM TO token(N)'";
                    return Err(line.malformed(what));
                }
            }
        }
        match snapshot {
            Some(snapshot) => Ok(Self { snapshot, recorded }),
            None => Err(file.ends_early("no line has the snapshot's id")),
        }
    }
}
