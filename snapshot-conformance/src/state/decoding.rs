//! P5: what `decode` does with bytes and versions that are none of its own.

use std::collections::BTreeSet;

use snapshot_core::StateProvider;

use super::StateFixture;
use super::lab::{AGES, Lab};
use crate::Breach;
use crate::hostile::{Subject, Taken};
use crate::pieces::{PieceReader, Pieces, places};
use crate::trial::caught;

pub(super) fn refuses<F: StateFixture>(lab: &Lab<F>) -> Result<(), Breach> {
    let known: BTreeSet<u32> =
        lab.fixture.earlier().into_iter().map(|(version, ..)| version).chain([F::State::VERSION]).collect();
    for (number, age) in (0..F::STATES).map(|number| (number, AGES[number as usize % AGES.len()])) {
        let captured = lab.capture(&mut lab.grown(number, age));
        let bytes = lab.encode(&captured)?;
        unknown_versions(lab, &known, &bytes)?;
        a_reader_that_fails(lab, &bytes)?;
        withstands(lab, F::State::VERSION, &bytes)?;
    }
    for (version, bytes, _) in lab.fixture.earlier() {
        withstands(lab, version, &bytes)?;
    }
    Ok(())
}

fn unknown_versions<F: StateFixture>(
    lab: &Lab<F>,
    known: &BTreeSet<u32>,
    bytes: &[u8],
) -> Result<(), Breach> {
    let ours = F::State::VERSION;
    let versions = [
        ours.wrapping_add(1),
        ours.wrapping_add(2),
        ours.wrapping_add(10),
        ours.wrapping_add(1 << 8),
        ours.wrapping_add(1 << 16),
        0,
        1 << 31,
        u32::MAX,
    ];
    for version in versions.into_iter().filter(|version| !known.contains(version)) {
        for bytes in [bytes, &[]] {
            lab.trial.step(format!("`decode` of version {version}"));
            let decoded =
                caught(|| F::State::decode(version, &mut PieceReader::new(bytes, Pieces::All)).map(drop));
            match decoded {
                Ok(Err(_)) => {}
                Ok(Ok(())) => {
                    return Err(lab.broken(format!(
                        "`decode` of {} bytes of version {version} succeeded, and this release is of version {ours}",
                        bytes.len()
                    )));
                }
                Err(panic) => {
                    return Err(lab.broken(format!("`decode` of version {version} panicked: {panic}")));
                }
            }
        }
    }
    Ok(())
}

/// In place of an end comes an error: what there is until then must not pass for a state.
fn a_reader_that_fails<F: StateFixture>(lab: &Lab<F>, bytes: &[u8]) -> Result<(), Breach> {
    lab.trial.step("`decode` from a reader that fails");
    for len in places(bytes.len()) {
        let mut input = PieceReader::failing(&bytes[..len]);
        match caught(|| F::State::decode(F::State::VERSION, &mut input).map(drop)) {
            Ok(Err(_)) => {}
            Ok(Ok(())) if !input.left.is_empty() => {}
            Ok(Ok(())) => {
                return Err(lab.broken(format!(
                    "`decode` succeeded, where its reader failed after {len} of {} bytes",
                    bytes.len()
                )));
            }
            Err(panic) => {
                return Err(lab.broken(format!(
                    "`decode` panicked, where its reader failed after {len} of {} bytes: {panic}",
                    bytes.len()
                )));
            }
        }
    }
    Ok(())
}

fn withstands<F: StateFixture>(lab: &Lab<F>, version: u32, bytes: &[u8]) -> Result<(), Breach> {
    let decode = |bytes: &[u8]| {
        let mut input = PieceReader::new(bytes, Pieces::All);
        let captured = F::State::decode(version, &mut input)?;
        let mut out = Vec::new();
        F::State::encode(&captured, &mut out)?;
        // That of an older version has another form now.
        Ok(Taken { left: input.left.len(), encoded: (version == F::State::VERSION).then_some(out) })
    };
    let what = format!("`decode` of version {version}");
    Subject { trial: &lab.trial, decode: &decode, what }.withstands(bytes)
}
