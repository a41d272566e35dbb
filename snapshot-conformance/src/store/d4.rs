//! D4: a `read` that begins after a `create` has returned finds the object.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use snapshot_core::{Content, Created, Sink};

use super::bench::{Bench, Check, Handle, shared};
use super::contents::{LARGE, bytes, in_halves};
use super::keys::{of_each_kind, part};
use super::meet::{Start, joined, while_half_way};
use crate::Breach;

pub(super) const CHECKS: &[Check] = &[
    found_by_all_handles,
    found_by_who_looked_before,
    found_by_the_one_who_came_second,
    found_by_all_who_tried_at_the_same_time,
    found_from_within_one_task,
    found_when_it_was_created_again,
];

fn found_by_all_handles(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    for number in 0..12 {
        for (at, key) in of_each_kind(number).into_iter().enumerate() {
            let size = [0, 10, 5000, LARGE][(number as usize + at) % 4];
            let written = bytes(number, size);
            let (writer, reader) = if number % 2 == 0 { (&one, &other) } else { (&other, &one) };
            writer.put(key, written.clone())?;
            if number % 4 < 2 {
                reader.must_hold(key, &written, "right after it was created by another process")?;
            }
            writer.must_hold(key, &written, "right after it was created")?;
            if number % 6 == 0 {
                let new = bench.open("a process that came later");
                new.must_hold(key, &written, "right after it was created by another process")?;
            }
            reader.put_again(key, &b"another"[..])?;
            reader.must_hold(key, &written, "right after `create` had returned Exists")?;
        }
    }
    Ok(())
}

/// That something was not there must not be remembered.
fn found_by_who_looked_before(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    for round in 0..4 {
        for key in of_each_kind(round) {
            for handle in [&other, &one, &other] {
                handle.must_miss(key, "before it was created")?;
            }
            other.list(None)?;
            one.put(key, &b"object"[..])?;
            other.must_hold(key, b"object", "which had looked before it was created by another process")?;
            one.must_hold(key, b"object", "which had looked before it was created")?;
        }
    }
    Ok(())
}

/// Who is told that there is an object reads it, though the one who won may not be done yet.
fn found_by_the_one_who_came_second(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    for (number, second) in (0..).zip([&one, &other]) {
        for key in of_each_kind(number) {
            let contents = [shared(bytes(1, LARGE)), shared(bytes(2, LARGE))];
            let (_, found) = while_half_way(
                |pause| one.create_from(key, in_halves(contents[0].clone(), move || pause.here())),
                || must_find(bench, second, key, second.create(key, contents[1].to_vec()).ok()),
            );
            found?;
        }
    }
    Ok(())
}

fn found_by_all_who_tried_at_the_same_time(bench: &Bench) -> Result<(), Breach> {
    const THREADS: usize = 4;
    let handles = bench.pair();
    for round in 0..40 {
        let key = part(2, round, 1, 1);
        let start = Start::of(THREADS);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|n| {
                    let (handle, start) = (&handles[n % 2], &start);
                    scope.spawn(move || {
                        start.wait();
                        let created = handle.create(key, bytes(n as u64, 20_000));
                        must_find(bench, handle, key, created.ok())
                    })
                })
                .collect();
            threads.into_iter().try_for_each(joined)
        })?;
    }
    Ok(())
}

fn found_from_within_one_task(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    for number in 0..10 {
        for key in of_each_kind(number) {
            bench.trial.step(format!("`create` and `read` of {key} in one task"));
            let found = bench.block_on(async {
                let content = Content::from(bytes::Bytes::from_static(b"object"));
                let created = one.store.create(key, content).await;
                let found = other.store.read(key, Sink::new(|_| Ok(()))).await;
                (created, found)
            });
            match found {
                (Ok(Created::New), Ok(true)) => {}
                (Err(error), _) => return Err(one.failed("create", key, &error)),
                (_, Err(error)) => return Err(other.failed("read", key, &error)),
                (created, found) => {
                    return Err(bench.broken(format!(
                        "`create` of {key} returned {created:?}, and `read`, right after it in the same task, {found:?}"
                    )));
                }
            }
        }
    }
    Ok(())
}

/// Nor that it was deleted, nor what there was before.
fn found_when_it_was_created_again(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    for number in 0..8 {
        let key = part(3, number, 1, 1);
        one.put(key, &b"the old object"[..])?;
        other.must_hold(key, b"the old object", "right after it was created")?;
        if number % 2 == 0 {
            one.delete(key)?;
            other.read(key)?;
        } else {
            other.delete(key)?;
        }
        one.put(key, &b"the new object"[..])?;
        for handle in [&other, &one] {
            handle.must_hold(key, b"the new object", "right after it was deleted and created again")?;
        }
    }
    Ok(())
}

/// Whatever a `create` returned, but for an error, the object is there, whole.
fn must_find(
    bench: &Bench,
    handle: &Handle<'_>,
    key: snapshot_core::Key,
    created: Option<Created>,
) -> Result<(), Breach> {
    let Some(created) = created else { return Ok(()) };
    let called = std::sync::Arc::new(AtomicBool::new(false));
    let was_called = called.clone();
    let sink = Sink::new(move |input| {
        called.store(true, Ordering::SeqCst);
        std::io::copy(input, &mut std::io::sink()).map(drop)
    });
    match handle.read_into(key, sink) {
        Ok(true) if was_called.load(Ordering::SeqCst) => Ok(()),
        Ok(_) => Err(bench.broken(format!(
            "`create` of {key} by {} returned {created:?}, and `read` right after it found nothing",
            handle.name
        ))),
        Err(error) => Err(handle.failed("read", key, &error)),
    }
}
