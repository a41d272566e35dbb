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
    let in_chapter = hunks(&lines("../snapshot-core/src/guide/existing_app.md"));
    assert!(in_chapter.len() > 5, "the difference is quoted");
    for Hunk { old, new } in &in_chapter {
        assert!(stands_in(old, &before), "before.rs has no such lines: {old:#?}\nquote it anew");
        assert!(stands_in(new, &after), "after.rs has no such lines: {new:#?}\nquote it anew");
        assert_ne!(old, new, "a hunk that changes nothing");
    }
}

#[test]
fn existing_app_changes_by_as_few_lines_as_the_docs_say() {
    let (before, after) = (lines("src/bin/existing_app/before.rs"), lines("src/bin/existing_app/after.rs"));
    let changed = before.len() + after.len() - 2 * common(&before, &after);
    assert!((50..=130).contains(&changed), "{changed} lines are removed or added");
}

#[test]
fn a_quote_that_is_not_in_the_file_is_found() {
    let file = ["fn main() {", "    run();", "}"].map(str::to_owned);
    let quote = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    assert!(stands_in(&quote(&["run();", "}"]), &file));
    assert!(!stands_in(&quote(&["walk();"]), &file));
    assert!(!stands_in(&quote(&["fn main() {", "}"]), &file), "lines between were left out");
}

/// A program in the docs that nobody compiles is out of date some day.
#[test]
fn no_program_in_the_docs_is_left_out_of_the_tests() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let (mut folders, mut fences, mut left_out) = (vec![workspace.to_owned()], 0, Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match path.extension().and_then(|extension| extension.to_str()) {
                _ if path.is_dir() && (name.starts_with('.') || name == "target") => {}
                _ if path.is_dir() => folders.push(path),
                Some("rs" | "md") => {
                    for line in lines(&path) {
                        let fence = line.trim_start().trim_start_matches(['/', '!']).trim_start();
                        fences += usize::from(fence.starts_with("```"));
                        if fence.starts_with("```") && fence.contains("ignore") {
                            left_out.push(format!("{}: {line}", path.display()));
                        }
                    }
                }
                _ => {}
            }
        }
    }
    assert!(fences > 100, "{fences} are not all");
    assert_eq!(left_out, [""; 0], "let it compile, and `no_run` what cannot run");
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

/// How long the longest common subsequence is.
fn common(a: &[String], b: &[String]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for line in a {
        let mut corner = 0;
        for (at, other) in b.iter().enumerate() {
            let above = row[at + 1];
            row[at + 1] = if line == other { corner + 1 } else { row[at].max(above) };
            corner = above;
        }
    }
    row[b.len()]
}

fn lines(path: impl AsRef<Path>) -> Vec<String> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(str::to_owned).collect()
}
