//! D7: after an error, or a call that was dropped, an object is there, whole, or not.

use std::io;

use snapshot_core::{Content, Created, Generation, Key, Sink};

use super::bench::{Bench, Check, Handle, POLLS, poll_and_drop, shared};
use super::contents::{LARGE, bytes, compared, in_halves, read_in_halves};
use super::keys::{of_each_kind, part, seat};
use super::meet::{Pause, while_half_way};
use crate::Breach;

pub(super) const CHECKS: &[Check] = &[
    a_create_that_is_dropped_leaves_a_whole_object_or_none,
    a_create_that_is_dropped_half_way_takes_nothing_from_others,
    calls_that_are_dropped_take_no_room,
    errors_leave_the_store_in_order,
    a_store_out_of_reach_is_not_empty,
    an_outage_half_way_is_no_end,
];

fn a_create_that_is_dropped_leaves_a_whole_object_or_none(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    let mut settled = Vec::new();
    for polls in 0..=POLLS {
        for (way, key) in of_each_kind(polls as u64).into_iter().enumerate() {
            let dropped = bytes(polls as u64, [300, LARGE][way % 2]);
            bench.trial.step(format!("`create` of {key}, to be dropped after {polls} polls"));
            let call = one.store.create(key, Content::from(bytes::Bytes::from(dropped.clone())));
            poll_and_drop(bench, call, polls);
            // What was begun may still be under way; whatever is seen is whole.
            if let Some(found) = other.read(key)?
                && found != dropped
            {
                return Err(half(bench, key, &found, &dropped));
            }
            let mine = &b"of another process"[..];
            let created = other.create(key, mine);
            let expected = match created {
                Ok(Created::New) => mine,
                Ok(Created::Exists) => &dropped,
                Err(error) => return Err(other.failed("create", key, &error)),
            };
            for handle in [&other, &one] {
                match handle.read(key)? {
                    Some(found) if found == expected => {}
                    found => {
                        return Err(bench.broken(format!(
                            "a `create` of {key} was dropped, a second one returned {created:?}, and `read` by {} then \
                             found {}",
                            handle.name,
                            compared(found.as_deref(), expected)
                        )));
                    }
                }
            }
            settled.push((key, expected.to_vec()));
        }
    }
    // Nor does what was dropped come later, in the place of what came after it.
    for (key, expected) in settled {
        other.must_hold(
            key,
            &expected,
            "long after a `create` was dropped, and a second one had returned",
        )?;
    }
    Ok(())
}

/// What was begun when its caller went away comes to its end when another has long been told `New`.
fn a_create_that_is_dropped_half_way_takes_nothing_from_others(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    for key in of_each_kind(500) {
        let (dropped, mine) = (shared(bytes(1, LARGE)), bytes(2, 5000));
        let pause = Pause::default();
        let held = pause.clone();
        let content = in_halves(dropped.clone(), move || held.here());
        poll_and_drop(bench, one.store.create(key, content), 1);
        // It may be that nobody asks for the content any more.
        pause.wait_until_reached();
        let created = other.create(key, mine.clone());
        pause.end();
        let expected = match created {
            Ok(Created::New) => &mine[..],
            Ok(Created::Exists) => &dropped[..],
            Err(error) => return Err(other.failed("create", key, &error)),
        };
        for handle in [&other, &one] {
            handle.must_hold(
                key,
                expected,
                "after a `create` was dropped half-way, and a second one had returned",
            )?;
        }
        // By now the first one is done, or will never be.
        one.put_again(key, &b"another"[..])?;
        other.must_hold(key, expected, "long after a `create` was dropped half-way")?;
    }
    Ok(())
}

/// An end that comes from the network is not the end of the object: neither of one that is read nor of one that is written.
fn an_outage_half_way_is_no_end(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    if !bench.outage(true) {
        return Ok(());
    }
    bench.outage(false);
    let written = shared(bytes(3, LARGE));
    for (key, new) in of_each_kind(600).into_iter().zip(of_each_kind(601)) {
        one.put(key, written.to_vec())?;
        let ((found, read), (created, _)) = while_half_way(
            |pause| {
                let (sink, read) = read_in_halves(LARGE, move || pause.here());
                (one.read_into(key, sink), read)
            },
            || {
                while_half_way(
                    |pause| other.create_from(new, in_halves(written.clone(), move || pause.here())),
                    || bench.outage(true),
                )
            },
        );
        bench.outage(false);
        if let Ok(found) = found {
            let seen = read.take();
            if !found || seen.as_ref() != Some(&*written) {
                return Err(bench.broken(format!(
                    "`read` of {key} returned {found}, where the store went out of reach half-way, and gave {}",
                    compared(seen.as_deref(), &written)
                )));
            }
        }
        for handle in [&one, &other] {
            match (handle.read(new)?, &created) {
                (Some(seen), _) if seen == *written => {}
                (Some(seen), _) => return Err(half(bench, new, &seen, &written)),
                (None, Ok(Created::New)) => {
                    return Err(bench.broken(format!(
                        "`create` of {new} returned New, while the store went out of reach, and nothing is there"
                    )));
                }
                (None, _) => {}
            }
        }
    }
    Ok(())
}

/// Locks, permits and connections of calls that were dropped are free again.
fn calls_that_are_dropped_take_no_room(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    let key = part(1, 1, 1, 1);
    one.put(key, bytes(1, 5000))?;
    for round in 0..60 {
        let polls = round % 3;
        bench.trial.step("calls that are dropped");
        let gone = part(2, round as u64, 1, 1);
        poll_and_drop(
            bench,
            one.store.create(gone, Content::from(bytes::Bytes::from_static(b"gone"))),
            polls,
        );
        poll_and_drop(bench, one.store.read(key, Sink::collect().0), polls);
        poll_and_drop(bench, one.store.list_parts(None), polls);
        poll_and_drop(bench, one.store.delete(gone), polls);
    }
    for handle in [&one, &other] {
        handle.must_hold(key, &bytes(1, 5000), "after many calls had been dropped")?;
        handle.list(None)?;
        for key in [part(3, 1, 1, 1), part(3, 1, 1, 2)] {
            handle.put(key, &b"new"[..])?;
            handle.delete(key)?;
        }
    }
    Ok(())
}

fn errors_leave_the_store_in_order(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    for round in 0..10 {
        for key in of_each_kind(round) {
            let failing = Content::new(|out| {
                out.write_all(&[1; 70_000])?;
                Err(io::Error::other("this state cannot be encoded"))
            });
            let refusing = Sink::new(|_| Err(io::Error::other("this state cannot be decoded")));
            if one.create_from(key, failing).is_ok() {
                return Err(
                    super::D8.broken(format!("`create` of {key} returned no error, and its content did"))
                );
            }
            one.put(key, &b"object"[..])?;
            if other.read_into(key, refusing).is_ok() {
                return Err(super::D8.broken(format!("`read` of {key} returned no error, and its sink did")));
            }
            for handle in [&one, &other] {
                handle.must_hold(key, b"object", "after errors")?;
                handle.put_again(key, &b"another"[..])?;
            }
        }
    }
    Ok(())
}

fn a_store_out_of_reach_is_not_empty(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    let (there, missing) = (of_each_kind(1), of_each_kind(2));
    for key in there {
        one.put(key, &b"object"[..])?;
    }
    if !bench.outage(true) {
        return Ok(());
    }
    let during =
        [&one, &other].into_iter().try_for_each(|handle| out_of_reach(bench, handle, there, missing));
    bench.outage(false);
    during?;
    for handle in [&one, &other] {
        for key in there {
            handle.must_hold(key, b"object", "after the store was out of reach")?;
        }
        for key in missing {
            // A `create` that failed may have been done: whole.
            if let Some(found) = handle.read(key)?
                && found != b"new"
            {
                return Err(half(bench, key, &found, b"new"));
            }
        }
        handle.list(Some(Generation(1)))?;
    }
    one.put(seat(9, 9), &b"new"[..])
}

/// No answer is an error. That something is there, or was done, is a lie only if it is not so afterwards.
fn out_of_reach(
    bench: &Bench,
    handle: &Handle<'_>,
    there: [Key; 5],
    missing: [Key; 5],
) -> Result<(), Breach> {
    let lie = |what: String| Err(bench.broken(format!("while the store was out of reach, {what}")));
    for key in there {
        if let Ok(false) = handle.read_into(key, Sink::collect().0) {
            return lie(format!("`read` of {key}, which is there, said that there is nothing"));
        }
        if let Ok(Created::New) = handle.create(key, &b"another"[..]) {
            return lie(format!("`create` of {key}, which is there, returned New"));
        }
    }
    for key in missing {
        if let Ok(created) = handle.create(key, &b"new"[..]) {
            return lie(format!("`create` of {key} returned {created:?}"));
        }
    }
    for generation in [None, Some(Generation(1))] {
        bench.trial.step("`list_parts`, out of reach");
        if let Ok(keys) = bench.block_on(handle.store.list_parts(generation))
            && keys.is_empty()
        {
            return lie("`list_parts` gave an empty list".to_owned());
        }
    }
    let part = there[3];
    bench.trial.step("`delete`, out of reach");
    if bench.block_on(handle.store.delete(part)).is_ok() {
        return lie(format!("`delete` of {part} said that it was done"));
    }
    Ok(())
}

fn half(bench: &Bench, key: Key, found: &[u8], written: &[u8]) -> Breach {
    bench.broken(format!(
        "a `create` of {key} was dropped or failed, and `read` found {}",
        compared(Some(found), written)
    ))
}
