//! The mutants themselves: that each still fits the code. What finds them is a program of its own, since each is built.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use snapshot_verification::mutants::Mutant;

fn all() -> Vec<Mutant> {
    Mutant::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("mutants")).unwrap()
}

#[test]
fn every_mutant_fits_the_code_and_changes_only_the_product() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let read = |path: &Path| fs::read_to_string(workspace.join(path));
    for mutant in all() {
        let changed = mutant.apply(read).unwrap_or_else(|error| panic!("{error}"));
        assert!(!changed.is_empty(), "{} changes nothing", mutant.name);
        for (path, text) in changed {
            assert!(path.starts_with("snapshot-core/src"), "{}: {}", mutant.name, path.display());
            assert_ne!(text, read(&path).unwrap(), "{}", mutant.name);
        }
    }
}

#[test]
fn there_are_forty_mutants_or_more_and_they_are_numbered() {
    let all = all();
    assert!(all.len() >= 40);
    let mut names = HashSet::new();
    for (place, mutant) in all.iter().enumerate() {
        let (number, name) = mutant.name.split_once('-').unwrap();
        assert_eq!(number, format!("{:02}", place + 1), "{}", mutant.name);
        assert!(names.insert(name.to_owned()), "{name} is the name of two");
    }
    let mistakes: HashSet<_> = all.iter().map(|mutant| &mutant.mistake).collect();
    assert_eq!(mistakes.len(), all.len(), "each is a mistake of its own");
}

#[test]
fn a_mutant_says_in_a_sentence_what_is_wrong_and_which_rule_that_breaks() {
    for Mutant { name, mistake, rule, .. } in all() {
        assert!(mistake.ends_with('.') && mistake.len() > 20, "{name}: {mistake}");
        assert!(rule.len() > 15, "{name}: {rule}");
    }
}
