//! What ARCHITECTURE.md says of the rooms of `src` is so: which there are, and which knows which. And in no crate of this
//! repository do files import each other in a circle.

mod circles;
mod imports;
mod rooms;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Files by their path in a crate's `src`, with their text.
type Files = BTreeMap<PathBuf, String>;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the repository").to_owned()
}

fn read_files(src: &Path) -> Files {
    let mut files = Files::new();
    let mut folders = vec![src.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository") {
            let path = entry.expect("an entry of it").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                files.insert(path.strip_prefix(src).expect("it is in there").to_owned(), text);
            }
        }
    }
    files
}

/// A made-up crate.
fn files<const N: usize>(files: [(&str, &str); N]) -> Files {
    files.map(|(path, text)| (PathBuf::from(path), text.to_owned())).into()
}
