//! D6: after `delete` has returned, `read` finds nothing; what is not there can be deleted.

use std::thread;

use snapshot_core::{Created, Key};

use super::bench::{Bench, Check, first};
use super::contents::{LARGE, bytes};
use super::keys::{confusable, evidence, of_each_kind, part};
use super::meet::Start;
use crate::Breach;

pub(super) const CHECKS: &[Check] = &[
    what_is_not_there_can_be_deleted,
    what_is_deleted_is_gone_for_all,
    a_deleted_key_is_free_again,
    neighbours_stay,
    several_delete_the_same_part,
    parts_of_one_snapshot_come_and_go,
];

fn what_is_not_there_can_be_deleted(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    for _ in 0..2 {
        for key in [
            part(1, 1, 1, 1),
            part(0, 0, 0, 0),
            part(u64::MAX, u64::MAX, u64::MAX, u64::MAX),
            evidence(1, 1, 1, 1),
        ] {
            one.delete(key)?;
            other.delete(key)?;
            one.must_miss(key, "after it was deleted")?;
        }
    }
    // Where its neighbours are there, too.
    one.put(part(1, 1, 1, 2), &b"neighbour"[..])?;
    one.delete(part(1, 1, 1, 1))?;
    one.delete(part(1, 2, 1, 1))?;
    other.must_hold(part(1, 1, 1, 2), b"neighbour", "after others were deleted that were not there")
}

fn what_is_deleted_is_gone_for_all(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    for (number, size) in (1..).zip([0, 10, LARGE]) {
        for key in [part(1, number, 1, 1), evidence(1, number, 1, 1)] {
            let written = bytes(number, size);
            one.put(key, written.clone())?;
            // Who has read it may remember it; not after this.
            for handle in [&one, &other] {
                handle.must_hold(key, &written, "before it was deleted")?;
            }
            other.list(None)?;
            one.delete(key)?;
            for handle in [&one, &other, &bench.open("a process that came later")] {
                handle.must_miss(key, "after it was deleted")?;
            }
            other.delete(key)?;
            one.must_miss(key, "after it was deleted twice")?;
        }
    }
    drop((one, other));
    let after = bench.open("the process after them");
    for number in 1..=3 {
        after.must_miss(part(1, number, 1, 1), "after it was deleted, and the store opened again")?;
    }
    Ok(())
}

fn a_deleted_key_is_free_again(bench: &Bench) -> Result<(), Breach> {
    let handles = bench.pair();
    for key in [part(1, 1, 1, 1), evidence(1, 1, 1, 1)] {
        for round in 0..6_usize {
            let written = bytes(round as u64, [10, LARGE, 0][round % 3]);
            handles[round % 2].put(key, written.clone())?;
            handles[(round + 1) % 2].put_again(key, &b"another"[..])?;
            for handle in &handles {
                handle.must_hold(key, &written, "after the key was deleted and created again")?;
            }
            handles[(round / 2) % 2].delete(key)?;
            handles[round % 2].must_miss(key, "after it was deleted once more")?;
        }
    }
    Ok(())
}

fn neighbours_stay(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    let mut keys: Vec<Key> = confusable();
    keys.extend(of_each_kind(7));
    for key in &keys {
        one.put(*key, format!("the object {key}"))?;
    }
    let parts = keys.iter().copied().filter(|key| matches!(key, Key::Part { .. })).step_by(2);
    // Here and there of the same snapshot and node as a part that stays.
    let evidence = keys.iter().copied().filter(|key| matches!(key, Key::Evidence { .. })).step_by(3);
    let deleted: Vec<Key> = parts.chain(evidence).collect();
    for key in &deleted {
        other.delete(*key)?;
    }
    for key in keys {
        if deleted.contains(&key) {
            one.must_miss(key, "after it was deleted")?;
        } else {
            one.must_hold(key, format!("the object {key}").as_bytes(), "after its neighbours were deleted")?;
        }
    }
    // The last object of a snapshot, and of a generation, takes nothing with it that is needed.
    one.put(part(77, 1, 1, 1), &b"alone"[..])?;
    one.delete(part(77, 1, 1, 1))?;
    for key in [part(77, 1, 1, 2), part(77, 2, 1, 1), part(77, 1, 1, 1)] {
        other.put(key, &b"later"[..])?;
        one.must_hold(key, b"later", "after the last object beside it had been deleted")?;
    }
    Ok(())
}

fn several_delete_the_same_part(bench: &Bench) -> Result<(), Breach> {
    const THREADS: usize = 4;
    let handles = bench.pair();
    for round in 0..40 {
        let key = part(1, round, 1, 1);
        handles[0].put(key, &b"part"[..])?;
        let start = Start::of(THREADS);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|n| {
                    let (handle, start) = (&handles[n % 2], &start);
                    scope.spawn(move || {
                        start.wait();
                        handle.delete(key)?;
                        handle.must_miss(key, "after it, and others beside it, had deleted it")
                    })
                })
                .collect();
            first(
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))),
            )
        })?;
    }
    Ok(())
}

/// What one deletes must not take the ground from under what another creates.
fn parts_of_one_snapshot_come_and_go(bench: &Bench) -> Result<(), Breach> {
    const THREADS: u64 = 4;
    let handles = bench.pair();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|node| {
                let handle = &handles[node as usize % 2];
                scope.spawn(move || {
                    for round in 0..30 {
                        let key = part(1, 1, 1, node);
                        let written = bytes(node * 100 + round, 500);
                        handle.expect_created(key, Created::New, handle.create(key, written.clone()))?;
                        handle.must_hold(key, &written, "while parts beside it came and went")?;
                        handle.delete(key)?;
                        handle.must_miss(key, "after it was deleted, while parts beside it came and went")?;
                    }
                    Ok(())
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}
