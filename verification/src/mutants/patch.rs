//! A mutant as it is written down: what the mistake is, which rule it breaks, and a unified diff.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use diffy::patch_set::{FileOperation, ParseOptions, PatchSet};

/// A plausible mistake. See [the module](super) for an example.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mutant {
    /// Its number and its name, as the file is called.
    pub name: String,
    /// What somebody might have written.
    pub mistake: String,
    /// The rule that it breaks.
    pub rule: String,
    patch: String,
}

impl Mutant {
    /// All mutants of a folder, in the order of their numbers.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or is no mutant.
    pub fn all(folder: &Path) -> io::Result<Vec<Self>> {
        let mut mutants = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let mutant = Self::parse(&name, &fs::read_to_string(&path)?);
            mutants.push(mutant.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?);
        }
        mutants.sort_by(|a: &Self, b| a.name.cmp(&b.name));
        Ok(mutants)
    }

    /// Reads a mutant: a sentence that says what the mistake is, `Breaks:` and the rule, an empty line, the diff.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let parts = text.split_once("\nBreaks: ").zip(text.split_once("\n\n--- "));
        let parts = parts.and_then(|((mistake, rest), _)| Some((mistake, rest.split_once("\n\n")?)));
        let (mistake, (rule, patch)) = parts
            .ok_or_else(|| format!("{name}: a mutant begins with its mistake, then `Breaks: ` and a rule"))?;
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(Self {
            name: name.to_owned(),
            mistake: one_line(mistake),
            rule: one_line(rule).trim_end_matches('.').to_owned(),
            patch: patch.to_owned(),
        })
    }

    /// The files that it changes, as they are with the mistake in them. `read` gives them as they are without. Each hunk must
    /// fit to the letter; it may stand some lines further up or down than it says.
    ///
    /// # Errors
    ///
    /// If it does not fit.
    pub fn apply(
        &self,
        read: impl Fn(&Path) -> io::Result<String>,
    ) -> Result<Vec<(PathBuf, String)>, String> {
        let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", self.name);
        let mut changed = Vec::new();
        for file in PatchSet::parse(&self.patch, ParseOptions::unidiff()) {
            let file = file.map_err(|error| wrong(&error))?;
            let operation = file.operation().strip_prefix(1);
            let (FileOperation::Modify { modified, .. }, Some(patch)) = (operation, file.patch().as_text())
            else {
                return Err(wrong(&"a mutant changes files, and neither adds nor removes any"));
            };
            let path = PathBuf::from(modified.as_ref());
            let before = read(&path).map_err(|error| wrong(&format_args!("{}: {error}", path.display())))?;
            let after = diffy::apply(&before, patch).map_err(|error| {
                wrong(&format_args!("it no longer fits {}, so write it anew: {error}", path.display()))
            })?;
            changed.push((path, after));
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str =
        "It is off by\none.\nBreaks: counting.\n\n--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\n-b\n+c\n d\n";

    #[test]
    fn a_mutant_that_no_longer_fits_is_refused() {
        let mutant = Mutant::parse("07-count", PATCH).unwrap();
        assert_eq!((mutant.mistake.as_str(), mutant.rule.as_str()), ("It is off by one.", "counting"));
        assert_eq!(mutant.apply(|_| Ok("a\nb\nd\n".to_owned())).unwrap()[0].1, "a\nc\nd\n");
        let refused = mutant.apply(|_| Ok("a\nB\nd\n".to_owned())).unwrap_err();
        assert!(refused.starts_with("07-count: it no longer fits x"), "{refused}");
    }

    #[test]
    fn a_patch_that_does_not_say_what_it_breaks_is_no_mutant() {
        assert!(Mutant::parse("08", &PATCH.replace("Breaks", "Hurts")).is_err());
    }
}
