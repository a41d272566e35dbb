//! What the guide quotes from the examples is what stands in them.

use std::path::{Path, PathBuf};

/// A hunk of a quoted difference: lines of the old file and of the new one, without their indentation.
#[derive(Default)]
struct Hunk {
    old: Vec<String>,
    new: Vec<String>,
}

#[test]
fn the_guide_quotes_existing_app_as_it_is() {
    let (before, after) = (lines("src/bin/existing_app/before.rs"), lines("src/bin/existing_app/after.rs"));
    let guide = lines("../snapshot-core/src/guide/add_snapshots.md");
    let hunks = hunks(&guide);
    assert!(hunks.len() > 5, "the chapter quotes the difference");
    for Hunk { old, new } in &hunks {
        assert!(
            stands_in(old, &before),
            "before.rs has no such lines: {old:#?}\nquote it anew in the chapter"
        );
        assert!(stands_in(new, &after), "after.rs has no such lines: {new:#?}\nquote it anew in the chapter");
        assert_ne!(old, new, "a hunk that changes nothing");
    }
}

#[test]
fn a_quote_that_is_not_in_the_file_is_found() {
    let file = ["fn main() {", "    run();", "}"].map(str::to_owned);
    let quote = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    assert!(stands_in(&quote(&["run();", "}"]), &file));
    assert!(!stands_in(&quote(&["walk();"]), &file));
    assert!(!stands_in(&quote(&["fn main() {", "}"]), &file), "lines between were left out");
}

/// The blocks that are marked as `diff`.
fn hunks(guide: &[String]) -> Vec<Hunk> {
    let mut hunks = Vec::new();
    let mut open: Option<Hunk> = None;
    for line in guide {
        match (&mut open, line.as_str()) {
            (None, "```diff") => open = Some(Hunk::default()),
            (None, _) => {}
            (Some(_), "```") => hunks.extend(open.take()),
            // What stands between the two is left out.
            (Some(_), "@@") => hunks.extend(open.replace(Hunk::default())),
            (Some(hunk), line) => {
                let (sign, text) = line.split_at(line.len().min(1));
                let text = text.trim_start().to_owned();
                if sign != "+" {
                    hunk.old.push(text.clone());
                }
                if sign != "-" {
                    hunk.new.push(text);
                }
            }
        }
    }
    hunks
}

/// Whether these lines stand in the file, one after the other; indentation apart.
fn stands_in(quote: &[String], file: &[String]) -> bool {
    let is_same =
        |window: &[String]| window.iter().zip(quote).all(|(line, quoted)| line.trim_start() == quoted);
    quote.is_empty() || file.windows(quote.len()).any(is_same)
}

fn lines(path: &str) -> Vec<String> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(str::to_owned).collect()
}
