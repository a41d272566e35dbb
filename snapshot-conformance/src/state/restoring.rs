//! P3 and P4: what was stored is what is installed, and all of it.

use std::thread;

use snapshot_core::StateProvider;

use super::StateFixture;
use super::lab::{AGES, CHANGES, Captured, Lab};
use crate::Breach;
use crate::pieces::{PieceWriter, Pieces, places};
use crate::trial::caught;

pub(super) fn the_same<F: StateFixture>(lab: &Lab<F>) -> Result<(), Breach> {
    for (number, age) in lab.all() {
        for pieces in Pieces::EACH {
            comes_back(lab, number, age, pieces)?;
        }
        comes_back_on_another_thread(lab, number, age)?;
        comes_back_again_and_again(lab, number, age)?;
        comes_back_from_each_of_several_captures(lab, number, age)?;
        comes_back_beside_others(lab, number, age)?;
        is_encoded_as_often_as_one_likes(lab, number, age)?;
        tells_of_a_writer_that_fails(lab, number, age)?;
    }
    what_earlier_releases_stored(lab)
}

fn comes_back<F: StateFixture>(lab: &Lab<F>, number: u64, age: u64, pieces: Pieces) -> Result<(), Breach> {
    let (mut one, mut twin) = (lab.grown(number, age), lab.grown(number, age));
    let captured = lab.capture(&mut one);
    let bytes = lab.encode_in(&captured, pieces)?;
    let mut new = lab.grown((number + 1) % F::STATES, 0);
    lab.install(&mut new, lab.decode_in(F::State::VERSION, &bytes, pieces)?, &twin);
    lab.go_on_alike(&mut new, &mut twin, "what was captured, encoded, decoded and installed")
}

/// The store's threads encode and decode.
fn comes_back_on_another_thread<F: StateFixture>(lab: &Lab<F>, number: u64, age: u64) -> Result<(), Breach> {
    let (mut one, mut twin) = (lab.grown(number, age), lab.grown(number, age));
    let captured: Captured<F> = lab.capture(&mut one);
    lab.trial.step("`encode` and `decode` on other threads");
    let encoding = thread::spawn(move || {
        let mut bytes = Vec::new();
        caught(|| F::State::encode(&captured, &mut bytes)).map(|encoded| encoded.map(|()| bytes))
    });
    let told = |what: &str, error: String| lab.broken(format!("`{what}` on another thread failed: {error}"));
    let encoded = encoding.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let bytes =
        encoded.map_err(|panic| told("encode", panic))?.map_err(|error| told("encode", error.to_string()))?;
    let decoding = thread::spawn(move || caught(|| F::State::decode(F::State::VERSION, &mut &bytes[..])));
    let decoded = decoding.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let captured =
        decoded.map_err(|panic| told("decode", panic))?.map_err(|error| told("decode", error.to_string()))?;
    lab.install(&mut one, captured, &twin);
    lab.go_on_alike(&mut one, &mut twin, "what was encoded and decoded on other threads")
}

/// A group that rolls back, goes on, and rolls back again.
fn comes_back_again_and_again<F: StateFixture>(lab: &Lab<F>, number: u64, age: u64) -> Result<(), Breach> {
    let mut one = lab.grown(number, age);
    for round in 0..4 {
        let captured = lab.capture(&mut one);
        (0..round).for_each(|_| lab.change(&mut one));
        let twin = lab.grown(number, age + round);
        lab.install(&mut one, lab.decode(&lab.encode(&captured)?)?, &twin);
        lab.change(&mut one);
    }
    lab.go_on_alike(&mut one, &mut lab.grown(number, age + 4), "a state that was restored four times")
}

/// Each one has all of the state, and not only what has changed since the one before.
fn comes_back_from_each_of_several_captures<F: StateFixture>(
    lab: &Lab<F>,
    number: u64,
    age: u64,
) -> Result<(), Breach> {
    let mut one = lab.grown(number, age);
    for taken in 0..6 {
        let captured = lab.capture(&mut one);
        let (mut new, mut twin) = (lab.grown(F::STATES - 1, 0), lab.grown(number, age + taken / 2));
        lab.install(&mut new, lab.decode(&lab.encode(&captured)?)?, &twin);
        lab.go_on_alike(&mut new, &mut twin, "what was captured after other captures")?;
        if taken % 2 == 1 {
            lab.change(&mut one);
        }
    }
    Ok(())
}

/// Snapshots may overlap: then several captures are encoded at the same time, and one may be decoded meanwhile.
fn comes_back_beside_others<F: StateFixture>(lab: &Lab<F>, number: u64, age: u64) -> Result<(), Breach> {
    const EACH: usize = 8;
    let ages = [age, age + 1, age + 2, age + 3];
    let captures = ages.map(|age| lab.capture(&mut lab.grown(number, age)));
    lab.trial.step("`encode` and `decode` of several captures at the same time");
    let threads = captures.map(|captured| {
        thread::spawn(move || {
            caught(|| {
                let there_and_back = || -> std::io::Result<Captured<F>> {
                    let mut bytes = Vec::new();
                    F::State::encode(&captured, &mut bytes)?;
                    F::State::decode(F::State::VERSION, &mut &bytes[..])
                };
                (0..EACH).map(|_| there_and_back()).collect::<std::io::Result<Vec<_>>>()
            })
        })
    });
    for (thread, age) in threads.into_iter().zip(ages) {
        let told = |error: String| lab.broken(format!("several captures at the same time: {error}"));
        let back = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let back = back.map_err(told)?.map_err(|error| told(error.to_string()))?;
        let mut twin = lab.grown(number, age);
        let expected = lab.look(&mut twin);
        for captured in back {
            let mut new = lab.grown(number, 0);
            lab.install(&mut new, captured, &twin);
            let seen = lab.look(&mut new);
            if seen != expected {
                return Err(lab.broken(format!(
                    "what was encoded and decoded beside others looks like {seen:?}, and should like {expected:?}"
                )));
            }
        }
    }
    Ok(())
}

/// Nothing is used up, and what was decoded is as good as what was captured.
fn is_encoded_as_often_as_one_likes<F: StateFixture>(
    lab: &Lab<F>,
    number: u64,
    age: u64,
) -> Result<(), Breach> {
    let mut one = lab.grown(number, age);
    let captured = lab.capture(&mut one);
    let first = lab.encode(&captured)?;
    let second = lab.encode(&captured)?;
    let third = lab.encode(&lab.decode(&first)?)?;
    for (bytes, what) in [
        (second, "what was encoded a second time"),
        (third, "what was decoded and encoded again"),
        (first, "what was decoded a second time"),
    ] {
        let mut twin = lab.grown(number, age);
        lab.install(&mut one, lab.decode(&bytes)?, &twin);
        lab.go_on_alike(&mut one, &mut twin, what)?;
    }
    Ok(())
}

/// Or bytes would be missing that nobody knows of.
fn tells_of_a_writer_that_fails<F: StateFixture>(lab: &Lab<F>, number: u64, age: u64) -> Result<(), Breach> {
    let mut one = lab.grown(number, age);
    let captured = lab.capture(&mut one);
    let size = lab.encode(&captured)?.len();
    lab.trial.step("`encode` to a writer that fails");
    for room in places(size) {
        if F::State::encode(&captured, &mut PieceWriter::with_room(room)).is_ok() {
            return Err(lab.broken(format!(
                "`encode` of {size} bytes returned Ok, where its writer failed after {room}"
            )));
        }
    }
    Ok(())
}

fn what_earlier_releases_stored<F: StateFixture>(lab: &Lab<F>) -> Result<(), Breach> {
    for (at, (version, bytes, _)) in lab.fixture.earlier().into_iter().enumerate() {
        for pieces in Pieces::EACH {
            let captured = lab.decode_in(version, &bytes, pieces)?;
            let mut twin = lab.grown(0, 0);
            if let Some((_, _, state)) = lab.fixture.earlier().into_iter().nth(at) {
                twin.state = state;
            }
            let mut new = lab.grown(F::STATES - 1, 0);
            lab.install(&mut new, captured, &twin);
            lab.go_on_alike(&mut new, &mut twin, &format!("what a release with version {version} stored"))?;
        }
    }
    Ok(())
}

pub(super) fn replaces_all<F: StateFixture>(lab: &Lab<F>) -> Result<(), Breach> {
    for (number, age) in lab.all() {
        for (over, other) in (0..F::STATES).flat_map(|over| AGES.map(|age| (over, age))) {
            for decoded in [true, false] {
                let (mut one, mut twin) = (lab.grown(number, age), lab.grown(number, age));
                let mut replaced = lab.grown(over, other);
                // What it remembers of its own captures is gone, too.
                let kept = lab.capture(&mut replaced);
                let captured = lab.capture(&mut one);
                let captured = if decoded { lab.decode(&lab.encode(&captured)?)? } else { captured };
                lab.install(&mut replaced, captured, &twin);
                let what = format!("what was installed over state {over}, {other} changes old,");
                lab.go_on_alike(&mut replaced, &mut twin, &what)?;
                drop(kept);
            }
        }
    }
    back_and_forth(lab)
}

fn back_and_forth<F: StateFixture>(lab: &Lab<F>) -> Result<(), Breach> {
    let mut one = lab.grown(0, 0);
    for round in 0..3 * F::STATES {
        let number = round % F::STATES;
        let (mut source, mut twin) = (lab.grown(number, round), lab.grown(number, round));
        let captured = lab.capture(&mut source);
        lab.install(&mut one, captured, &twin);
        lab.go_on_alike(&mut one, &mut twin, "what was installed after others")?;
        (0..CHANGES).for_each(|_| lab.change(&mut one));
    }
    Ok(())
}
