//! States of other versions than this release's.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::contract::state::{StateProvider, UnknownVersion};

/// One application, in its releases: release `V` writes version `V`, and reads that and the one before it.
struct Release<const V: u32>;

static ASKED: AtomicU32 = AtomicU32::new(0);

impl<const V: u32> StateProvider for Release<V> {
    type Captured = u32;
    const VERSION: u32 = V;

    fn capture(&mut self) -> u32 {
        V
    }

    fn install(&mut self, _: u32) {}

    fn encode(captured: &u32, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&captured.to_le_bytes())
    }

    fn decode(version: u32, input: &mut dyn Read) -> io::Result<u32> {
        ASKED.fetch_max(version, Ordering::SeqCst);
        if version > V || version + 1 < V {
            return Err(UnknownVersion::of::<Self>(version).into());
        }
        let mut bytes = [0; 4];
        input.read_exact(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }
}

fn written<const V: u32>(key: Key) -> Vec<u8> {
    let mut bytes = Vec::new();
    let label = PartLabel { key, ..label() };
    write_state::<Release<V>>(&label, &V, &mut bytes).unwrap();
    bytes
}

fn read_as<const V: u32>(key: Key, bytes: &[u8]) -> Result<u32, PartError> {
    let expected = Expected { key, ..expected(None) };
    read_part::<Release<V>, Bytes>(&expected, None, &mut &bytes[..]).map(|part| part.state)
}

#[test]
fn a_state_of_an_older_version_is_read_by_a_release_that_knows_it() {
    assert_eq!(read_as::<2>(key(), &written::<1>(key())), Ok(1));
}

#[test]
fn a_state_of_a_newer_version_is_refused_before_decode_is_asked() {
    let error = read_as::<2>(key(), &written::<7>(key())).unwrap_err();
    let version = UnknownVersion { found: 7, known: 2 };
    assert_eq!(error, PartError::StateVersion { key: key(), version });
    assert!(!error.is_damage());
    assert!(ASKED.load(Ordering::SeqCst) < 7);
    assert_eq!(
        error.to_string(),
        format!(
            "the part of n1 in snapshot g2/9@n3 ({}) is undamaged, and cannot be used here: the state was written by a \
             newer release of the application (version 7; this one reads up to version 2): run the newer release, or put \
             back a copy of the store from before it ran",
            key()
        )
    );
}

#[test]
fn a_state_that_is_too_old_names_both_versions_and_does_not_read_like_damage() {
    let initial = Key::Initial(A);
    let error = read_as::<4>(initial, &written::<1>(initial)).unwrap_err();
    assert_eq!(
        error,
        PartError::StateVersion { key: initial, version: UnknownVersion { found: 1, known: 4 } }
    );
    let text = error.to_string();
    assert!(text.starts_with("the initial state of n1 (initial/"), "{text}");
    assert!(text.contains("is of version 1, and this release of the application (version 4)"), "{text}");
    assert!(!text.contains("is damaged") && !text.contains("fall_back"), "{text}");
}

#[test]
fn damage_goes_before_the_version() {
    let mut bytes = written::<7>(key());
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert!(read_as::<2>(key(), &bytes).unwrap_err().is_damage());
}
