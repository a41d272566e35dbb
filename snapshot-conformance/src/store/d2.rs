//! D2: what was reported, or read, is there after a crash.

use bytes::Bytes;
use snapshot_core::{Created, Key};

use super::bench::{Bench, Check, POLLS, poll_and_drop, shared};
use super::contents::{LARGE, bytes, in_pieces};
use super::keys::of_each_kind;
use crate::Breach;

pub(super) const CHECKS: &[Check] =
    &[objects_outlive_the_process, created_objects_outlive_a_crash, what_was_seen_outlives_a_crash];

fn objects() -> Vec<(Key, Vec<u8>)> {
    let sizes = [0, 1, 300, LARGE];
    let sized = |(number, size): (u64, usize)| of_each_kind(number).map(|key| (key, bytes(number, size)));
    (1..).zip(sizes).flat_map(sized).collect()
}

fn objects_outlive_the_process(bench: &Bench) -> Result<(), Breach> {
    let objects = objects();
    let before = bench.open("a process");
    for (key, bytes) in &objects {
        before.put(*key, bytes.clone())?;
    }
    drop(before);
    for name in ["the process after it", "a third process"] {
        let after = bench.open(name);
        for (key, bytes) in &objects {
            after.must_hold(*key, bytes, "after the store was opened again")?;
            after.put_again(*key, &b"another"[..])?;
        }
        after.put(Key::Journal(name.len() as u64 * 1000), &b"and it goes on"[..])?;
    }
    Ok(())
}

fn created_objects_outlive_a_crash(bench: &Bench) -> Result<(), Breach> {
    if !bench.crash() {
        return Ok(());
    }
    for (number, size) in (1..).zip([0, 1, 300, LARGE]) {
        for key in of_each_kind(1000 + number) {
            let bytes = shared(bytes(number, size));
            let before = bench.open("a process");
            before.expect_created(key, Created::New, before.create_from(key, in_pieces(bytes.clone())))?;
            drop(before);
            bench.crash();
            let after = bench.open("the process after the crash");
            after.must_hold(key, &bytes, "after `create` had returned New, and a crash")?;
            after.put_again(key, &b"another"[..])?;
        }
    }
    Ok(())
}

/// Whoever was told of an object, or has read it, builds on it, although its author died before it was told anything.
fn what_was_seen_outlives_a_crash(bench: &Bench) -> Result<(), Breach> {
    if !bench.crash() {
        return Ok(());
    }
    for polls in 1..=POLLS {
        let mut ended = true;
        for (number, key) in (0..).zip(of_each_kind(2000 + polls as u64)) {
            let written = bytes(polls as u64, 5000);
            let seen = {
                let author = bench.open("a process that dies");
                let call = author.store.create(key, Bytes::from(written.clone()).into());
                ended &= poll_and_drop(bench, call, polls);
                drop(author);
                let other = bench.open("a process that looks");
                if number % 2 == 0 {
                    other.read(key)?
                } else {
                    match other.create(key, written.clone()) {
                        Ok(_) => Some(written.clone()),
                        Err(error) => return Err(other.failed("create", key, &error)),
                    }
                }
            };
            bench.crash();
            if let Some(seen) = seen {
                let after = bench.open("the process after the crash");
                after.must_hold(key, &seen, "after another process had seen it, and a crash")?;
            }
        }
        if ended {
            break;
        }
    }
    Ok(())
}
