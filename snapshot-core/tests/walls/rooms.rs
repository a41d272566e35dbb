//! The rooms of the core, and the walls between them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::imports::paths;
use crate::{Files, files, read_files, repository};

/// What each room may know, besides itself.
type Walls = BTreeMap<String, BTreeSet<String>>;

/// Reads the table of a page that says who `may know` whom: its rows begin with a folder in backquotes, and end with the rooms
/// that it may know.
fn walls(page: &str) -> Walls {
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.strip_suffix('|')?.split('|');
        let room = cells.next()?.trim().strip_suffix("/`")?.to_owned();
        let known = cells.next_back()?.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        Some((room, known))
    };
    let table = page.lines().skip_while(|line| !line.ends_with("| may know |")).skip(2);
    table.map_while(row).collect()
}

/// Where what is built is not what is said.
fn breaches(files: &Files, walls: &Walls) -> Vec<String> {
    let mut found = Vec::new();
    for room in walls.keys().filter(|room| !files.keys().any(|file| file.starts_with(room))) {
        found.push(format!("there is no room `{room}`"));
    }
    for (file, text) in files.iter().filter(|(file, _)| file.components().count() > 1) {
        let room = file.components().next().expect("a path").as_os_str().to_string_lossy().into_owned();
        if room == "guide" {
            continue;
        }
        let Some(known) = walls.get(&room) else {
            found.push(format!("the room of {} is not in the table", file.display()));
            continue;
        };
        for path in paths(file, text) {
            match path.first() {
                Some(other) if *other == room || known.contains(other) => {}
                Some(other) if walls.contains_key(other) => {
                    found.push(format!(
                        "{} names {}, and {room} may not know {other}",
                        file.display(),
                        path.join("::")
                    ));
                }
                Some(_) => found.push(format!(
                    "{} names {} through the root of the crate: import it from the file that it is in",
                    file.display(),
                    path.join("::")
                )),
                None => {}
            }
        }
    }
    found
}

#[test]
fn every_room_knows_only_what_the_page_says() {
    let page = fs::read_to_string(repository().join("ARCHITECTURE.md")).expect("the page");
    let walls = walls(&page);
    assert_eq!(walls.len(), 6, "the table of rooms was not found: {walls:?}");
    let breaches = breaches(&read_files(&repository().join("snapshot-core/src")), &walls);
    assert!(
        breaches.is_empty(),
        "ARCHITECTURE.md and snapshot-core/src do not agree:\n{}",
        breaches.join("\n")
    );
}

#[test]
fn a_wall_that_is_broken_is_found() {
    let page = "| room | | may know |\n| --- | --- | --- |\n| `up/` | words | `down` |\n| `down/` | words | nothing |\n";
    let sound = [
        ("up/a.rs", "use crate::down::b::B;"),
        ("down/b.rs", "use crate::down::c::C;"),
        ("lib.rs", "mod up;"),
    ];
    let of = |changed: (&'static str, &'static str)| {
        let mut files = files(sound);
        files.extend(crate::files([changed]));
        breaches(&files, &walls(page))
    };
    assert_eq!(of(sound[0]), [""; 0]);
    for (changed, expected) in [
        (("down/b.rs", "use crate::up::a::A;"), "down may not know up"),
        (("down/b.rs", "fn f() { super::super::up::a::g() }"), "down may not know up"),
        (("up/a.rs", "use crate::B;"), "through the root"),
        (("cellar/d.rs", ""), "not in the table"),
    ] {
        let found = of(changed);
        assert!(found.len() == 1 && found[0].contains(expected), "{changed:?}: {found:?}");
    }
    let without = breaches(&files([("up/a.rs", "")]), &walls(page));
    assert_eq!(without, ["there is no room `down`"]);
}
