//! Which paths a source file names, as far as that can be seen without a compiler.

use std::collections::BTreeSet;
use std::path::{Component, Path};

/// A module by its names, from the crate's root.
pub(crate) type Module = Vec<String>;

/// The module that a file in `src` is.
pub(crate) fn module(file: &Path) -> Module {
    let mut names: Module = file
        .with_extension("")
        .components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            _ => None,
        })
        .collect();
    if names.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        names.pop();
    }
    names
}

/// The paths that a file names beginning with `crate`, `self` or `super`, as paths from the crate's root. Those in comments
/// and texts do not count.
pub(crate) fn paths(file: &Path, text: &str) -> BTreeSet<Module> {
    let here = module(file);
    let code = without_comments(text);
    let mut named = Vec::new();
    let mut rest = code.as_str();
    while let Some(at) = rest.find("use ") {
        let is_word =
            rest[..at].chars().next_back().is_none_or(|before| !before.is_alphanumeric() && before != '_');
        rest = &rest[at + "use ".len()..];
        if let Some(end) = rest.find(';').filter(|_| is_word) {
            expand("", &rest[..end], &mut named);
        }
    }
    named.extend(code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).map(str::to_owned));
    named.iter().filter_map(|path| from_root(&here, path)).collect()
}

fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// `a::{b, c::d}` is `a::b` and `a::c::d`.
fn expand(prefix: &str, tree: &str, into: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((before, group)) = tree.split_once('{') else {
        return into.push(format!("{prefix}{}", tree.split_whitespace().next().unwrap_or_default()));
    };
    let group = group.strip_suffix('}').unwrap_or(group);
    let (mut depth, mut begin) = (0, 0);
    let prefix = format!("{prefix}{before}");
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !group[begin..at].trim().is_empty() {
                    expand(&prefix, &group[begin..at], into);
                }
                begin = at + 1;
            }
            _ => {}
        }
    }
}

fn from_root(here: &[String], path: &str) -> Option<Module> {
    if path.ends_with("::") {
        return None; // What comes before a group, which was taken apart.
    }
    let mut names = path.split("::").peekable();
    let mut base = match *names.peek()? {
        "crate" => Module::new(),
        "self" | "super" => here.to_vec(),
        _ => return None,
    };
    while let Some(name) = names.next_if(|name| ["crate", "self", "super"].contains(name)) {
        if name == "super" {
            base.pop();
        }
    }
    base.extend(names.map(str::to_owned));
    Some(base)
}

#[test]
fn groups_comments_and_relative_paths_are_understood() {
    let text = "use crate::a::{b::C, d};\npub(crate) use super::{e, self};\n// crate::no::more\nlet x = crate::f::G::new();";
    let paths = paths(Path::new("one/two.rs"), text);
    let paths: Vec<String> = paths.iter().map(|path| path.join("::")).collect();
    for expected in ["a::b::C", "a::d", "one::e", "f::G::new"] {
        assert!(paths.iter().any(|path| path == expected), "{expected} is not in {paths:?}");
    }
    assert!(!paths.iter().any(|path| path.starts_with("no")), "{paths:?}");
    assert_eq!(module(Path::new("one/mod.rs")), ["one"]);
}
