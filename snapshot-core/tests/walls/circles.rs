//! Files that import each other, be it by way of others, are one file in pieces. A file and the folder beside it may.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::imports::{Module, module, paths};
use crate::{Files, files, read_files, repository};

/// A circle of modules, each of which imports the next, if there is one.
fn circle(files: &Files) -> Option<String> {
    let modules: BTreeSet<Module> = files.keys().map(|file| module(file)).collect();
    let mut imports = BTreeMap::<&Module, BTreeSet<&Module>>::new();
    for (file, text) in files {
        let from = modules.get(&module(file))?;
        imports.entry(from).or_default();
        for path in paths(file, text) {
            // The longest beginning that is a module: what follows are items.
            let to = (1..=path.len()).rev().find_map(|len| modules.get(&path[..len]));
            let is_other = |to: &&Module| !to.starts_with(from) && !from.starts_with(to);
            imports.entry(from).or_default().extend(to.filter(is_other));
        }
    }
    // Whoever imports nothing that is left is in no circle.
    while let Some(done) = imports.iter().find(|(_, to)| to.is_empty()).map(|(from, _)| *from) {
        imports.remove(done);
        imports.values_mut().for_each(|to| to.retain(|module| *module != done));
    }
    let mut way = vec![*imports.keys().next()?];
    loop {
        let next = *imports[way[way.len() - 1]].first()?;
        if let Some(begin) = way.iter().position(|passed| *passed == next) {
            let names: Vec<String> =
                way[begin..].iter().chain([&next]).map(|module| module.join("::")).collect();
            return Some(names.join(" -> "));
        }
        way.push(next);
    }
}

#[test]
fn no_files_of_a_crate_import_each_other_in_a_circle() {
    let crates = fs::read_dir(repository()).expect("the repository");
    let sources = crates.map(|entry| entry.expect("an entry").path().join("src")).filter(|src| src.is_dir());
    let mut looked_at = 0;
    for src in sources {
        assert_eq!(circle(&read_files(&src)), None, "in {}", src.display());
        looked_at += 1;
    }
    assert!(looked_at >= 7, "only {looked_at} crates were found");
}

#[test]
fn a_circle_is_found() {
    let line = [
        ("a.rs", "use crate::b::B;"),
        ("b.rs", "use super::c;"),
        ("c.rs", "use crate::c::d::D;"),
        ("c/d.rs", "use super::E;"),
    ];
    assert_eq!(circle(&files(line)), None);
    let mut closed = files(line);
    closed.extend(files([("c/d.rs", "use crate::a::A;")]));
    assert_eq!(circle(&closed), None, "c does not import a");
    closed.extend(files([("b.rs", "use crate::c; use crate::alone::A;"), ("alone.rs", "pub struct A;")]));
    assert_eq!(circle(&closed), None, "who imports nothing is in no circle");
    closed.extend(files([("c.rs", "fn f(_: crate::a::A) {}")]));
    assert_eq!(circle(&closed).as_deref(), Some("a -> b -> c -> a"));
}
