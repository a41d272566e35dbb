//! Files with the bytes of each version of each form that is stored or sent, in `tests/golden`, kept for ever.
//!
//! Today's code reads all of them, and writes the newest version just so. How a form is changed on purpose is told in
//! CONTRIBUTING.md, "Formats".

mod control;
mod journal;
mod part;
#[cfg(feature = "postcard")]
mod values;

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The bytes of a file.
fn read(name: &str) -> Vec<u8> {
    let path = path(name);
    fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}. Golden files are never removed. If {name} is of a new version of a form, \
             `WRITE_GOLDEN=1 cargo test -p {} as_ever` makes it",
            path.display(),
            env!("CARGO_PKG_NAME"),
        )
    })
}

/// Holds what today's code writes against a file. Where the file is missing and `WRITE_GOLDEN` is set, it is made; one that is
/// there is never changed.
fn check(name: &str, today: &[u8]) {
    let path = path(name);
    if env::var_os("WRITE_GOLDEN").is_some() && !path.exists() {
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("the folder can be made");
        fs::write(&path, today).expect("the file can be written");
    }
    let kept = read(name);
    let differs = kept.iter().zip(today).position(|(a, b)| a != b).unwrap_or(kept.len().min(today.len()));
    assert!(
        kept == today,
        "today's code writes other bytes than tests/golden/{name} has, from byte {differs} on. Stores and releases that have \
         these bytes are out there. If the change was not meant, undo it; if it was, leave the file as it is and give the \
         form a new version: CONTRIBUTING.md, \"Formats\", tells how",
    );
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// All ways to cut `bytes` short.
fn truncations(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    (0..bytes.len()).map(|len| &bytes[..len])
}

/// All bytes that differ from `bytes` in one bit, with the place of that bit.
fn flips(bytes: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    (0..bytes.len() * 8).map(|bit| {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        (bit, flipped)
    })
}
