//! P1 and P2: `capture`.

use std::thread;

use snapshot_core::StateProvider;

use super::StateFixture;
use super::lab::{CHANGES, Captured, Lab};
use crate::Breach;
use crate::trial::caught;

pub(super) fn no_effect<F: StateFixture>(lab: &Lab<F>) -> Result<(), Breach> {
    for (number, age) in lab.all() {
        let twin = || lab.grown(number, age);

        let mut one = twin();
        drop(lab.capture(&mut one));
        lab.go_on_alike(&mut one, &mut twin(), "the state after a capture that was dropped")?;

        let mut one = twin();
        let kept = lab.capture(&mut one);
        lab.go_on_alike(&mut one, &mut twin(), "the state after a capture")?;
        drop(kept);

        let mut one = twin();
        let kept: Vec<_> = (0..3).map(|_| lab.capture(&mut one)).collect();
        for captured in &kept {
            lab.encode(captured)?;
        }
        lab.go_on_alike(&mut one, &mut twin(), "the state after three captures that were encoded")?;
        drop(kept);
        lab.go_on_alike(
            &mut one,
            &mut lab.grown(number, age + CHANGES + 1),
            "the state after captures were dropped",
        )?;

        // As with snapshots every now and then.
        let (mut one, mut other) = (twin(), twin());
        let mut kept = None;
        for _ in 0..CHANGES {
            lab.change(&mut one);
            lab.change(&mut other);
            kept.replace(lab.capture(&mut one));
        }
        lab.go_on_alike(&mut one, &mut other, "the state after a capture between any two changes")?;
    }
    Ok(())
}

pub(super) fn owned<F: StateFixture>(lab: &Lab<F>) -> Result<(), Breach> {
    for (number, age) in lab.all() {
        stays_when_the_state_changes(lab, number, age)?;
        stays_when_the_state_is_gone(lab, number, age)?;
        stays_beside_other_captures(lab, number, age)?;
        is_not_shared_with_what_it_was_installed_in(lab, number, age)?;
        is_encoded_while_the_state_changes(lab, number, age)?;
    }
    Ok(())
}

fn stays_when_the_state_changes<F: StateFixture>(lab: &Lab<F>, number: u64, age: u64) -> Result<(), Breach> {
    for decoded in [false, true] {
        let (mut one, mut twin) = (lab.grown(number, age), lab.grown(number, age));
        let captured = lab.capture(&mut one);
        (0..CHANGES).for_each(|_| lab.change(&mut one));
        let captured = if decoded { lab.decode(&lab.encode(&captured)?)? } else { captured };
        // Back to where it was, as in a rollback.
        lab.install(&mut one, captured, &twin);
        lab.go_on_alike(&mut one, &mut twin, "what was captured, after the state had changed")?;
    }
    Ok(())
}

fn stays_when_the_state_is_gone<F: StateFixture>(lab: &Lab<F>, number: u64, age: u64) -> Result<(), Breach> {
    let (mut one, mut twin) = (lab.grown(number, age), lab.grown(number, age));
    let captured = lab.capture(&mut one);
    (0..CHANGES).for_each(|_| lab.change(&mut one));
    drop(one);
    let captured = lab.decode(&lab.encode(&captured)?)?;
    let mut new = lab.grown(F::STATES - 1, 0);
    lab.install(&mut new, captured, &twin);
    lab.go_on_alike(&mut new, &mut twin, "what was captured, after the state was dropped")
}

fn stays_beside_other_captures<F: StateFixture>(lab: &Lab<F>, number: u64, age: u64) -> Result<(), Breach> {
    let mut one = lab.grown(number, age);
    let mut captures = Vec::new();
    for _ in 0..4 {
        captures.push(lab.capture(&mut one));
        captures.push(lab.capture(&mut one));
        lab.change(&mut one);
    }
    // The later ones first: they must not take anything from the earlier.
    for (index, captured) in captures.into_iter().enumerate().rev() {
        let mut twin = lab.grown(number, age + index as u64 / 2);
        let captured = lab.decode(&lab.encode(&captured)?)?;
        lab.install(&mut one, captured, &twin);
        lab.go_on_alike(&mut one, &mut twin, "one of several captures in a row")?;
    }
    Ok(())
}

fn is_not_shared_with_what_it_was_installed_in<F: StateFixture>(
    lab: &Lab<F>,
    number: u64,
    age: u64,
) -> Result<(), Breach> {
    let (mut one, mut twin) = (lab.grown(number, age), lab.grown(number, age));
    let mut other = lab.grown(number, 0);
    let (first, second) = (lab.capture(&mut one), lab.capture(&mut one));
    lab.install(&mut other, first, &twin);
    (0..CHANGES).for_each(|_| lab.change(&mut other));
    lab.go_on_alike(
        &mut one,
        &mut twin,
        "the state, after one that its capture was installed in had changed",
    )?;
    let mut twin = lab.grown(number, age);
    lab.install(&mut other, second, &twin);
    lab.go_on_alike(
        &mut other,
        &mut twin,
        "a second capture, after one that the first was installed in had changed",
    )
}

fn is_encoded_while_the_state_changes<F: StateFixture>(
    lab: &Lab<F>,
    number: u64,
    age: u64,
) -> Result<(), Breach> {
    let (mut one, mut twin) = (lab.grown(number, age), lab.grown(number, age));
    let captured: Captured<F> = lab.capture(&mut one);
    lab.trial.step("`encode` on another thread while the state changes");
    let encoding = thread::spawn(move || {
        let mut bytes = Vec::new();
        caught(|| F::State::encode(&captured, &mut bytes)).map(|encoded| encoded.map(|()| bytes))
    });
    for _ in 0..1000 {
        if encoding.is_finished() {
            break;
        }
        lab.change(&mut one);
    }
    let encoded = encoding.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let bytes = match encoded {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => return Err(lab.broken(format!("`encode` on another thread failed: {error}"))),
        Err(panic) => return Err(lab.broken(format!("`encode` on another thread panicked: {panic}"))),
    };
    let captured = lab.decode(&bytes)?;
    lab.install(&mut one, captured, &twin);
    lab.go_on_alike(&mut one, &mut twin, "what was encoded while the state changed")
}
