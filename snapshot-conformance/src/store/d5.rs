//! D5: `list_parts` gives every part that is there, each once, and nothing else; it may lag.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use snapshot_core::{Content, Created, Generation, Key};

use super::bench::{Bench, Check, Handle, POLLS, shared, unless_panic};
use super::contents::{LARGE, bytes, in_halves};
use super::keys::{confusable, of_each_kind, part};
use super::meet::{Tally, joined, while_half_way};
use crate::Breach;

/// Between two looks at a listing that lags.
const PAUSE: Duration = Duration::from_millis(5);

/// How many parts are deleted while a listing is on its way.
const GO: u64 = 24;

pub(super) const CHECKS: &[Check] = &[
    nothing_is_listed_at_first,
    parts_of_each_generation_are_listed,
    parts_are_listed_after_the_store_was_opened_again,
    more_parts_than_a_page_holds_are_listed,
    parts_that_go_during_a_listing_do_not_hide_others,
    parts_that_come_and_go_do_not_hide_others,
    what_was_never_created_is_not_listed,
    what_was_deleted_is_no_longer_listed,
];

fn nothing_is_listed_at_first(bench: &Bench) -> Result<(), Breach> {
    let [one, _] = bench.pair();
    for _ in 0..2 {
        for generation in [None, Some(Generation(1)), Some(Generation(u64::MAX))] {
            only(bench, &one, generation, &BTreeSet::new())?;
        }
        for key in of_each_kind(1).into_iter().filter(|key| !is_part(*key)) {
            // The second time they are there.
            let _ = one.create(key, &b"no part"[..]);
        }
    }
    Ok(())
}

fn parts_of_each_generation_are_listed(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    let keys = confusable();
    for (at, key) in keys.iter().enumerate() {
        let written = if at % 3 == 0 { Vec::new() } else { bytes(at as u64, 40) };
        one.put(*key, written)?;
    }
    let parts: BTreeSet<Key> = keys.into_iter().filter(|key| is_part(*key)).collect();
    for handle in [&one, &other] {
        lists(bench, handle, None, &parts)?;
        let generations: BTreeSet<Generation> = parts.iter().filter_map(|key| generation(*key)).collect();
        for wanted in generations {
            lists(bench, handle, Some(wanted), &of(&parts, wanted))?;
        }
        // Numbers that begin alike, and one between two that are there.
        for none in [3, 112, 1111, u64::MAX / 3].map(Generation) {
            only(bench, handle, Some(none), &BTreeSet::new())?;
        }
    }
    Ok(())
}

fn parts_are_listed_after_the_store_was_opened_again(bench: &Bench) -> Result<(), Breach> {
    let mut parts = BTreeSet::new();
    for number in 0..3 {
        let process = bench.open("one process after the other");
        process.put(part(number, number, 1, 1), &b"part"[..])?;
        parts.insert(part(number, number, 1, 1));
        drop(process);
        let next = bench.open("the process after it");
        lists(bench, &next, None, &parts)?;
        lists(bench, &next, Some(Generation(number)), &of(&parts, Generation(number)))?;
    }
    Ok(())
}

fn more_parts_than_a_page_holds_are_listed(bench: &Bench) -> Result<(), Breach> {
    let handles = bench.pair();
    let count = bench.parts() as u64;
    let keys: Vec<Key> =
        (0..count).map(|n| part(1, n / 3, 1, n % 3)).chain((0..5).map(|n| part(2, n, 1, 1))).collect();
    put_all(&[&handles[0], &handles[1]], keys.clone())?;
    let parts: BTreeSet<Key> = keys.into_iter().collect();
    lists(bench, &handles[0], None, &parts)?;
    for wanted in [1, 2].map(Generation) {
        lists(bench, &handles[1], Some(wanted), &of(&parts, wanted))?;
    }
    Ok(())
}

/// While a listing is on its way from page to page, parts before the place that it has come to are deleted: each time the
/// listing is held at a later place where it waits.
fn parts_that_go_during_a_listing_do_not_hide_others(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    let stays = many_that_stay(bench, &[&one, &other])?;
    for polls in 1..=POLLS {
        let goes: Vec<Key> = (0..GO).map(|n| part(1, n, 1, polls as u64)).collect();
        put_all(&[&one, &other], goes.clone())?;
        lists(bench, &other, None, &stays.iter().chain(&goes).copied().collect())?;
        let gone = Tally::default();
        let delete = || {
            goes.iter().try_for_each(|key| {
                one.delete(*key)?;
                gone.add();
                Ok(())
            })
        };
        let (listed, deleted) = thread::scope(|scope| {
            let mut deleting = None;
            let listed = other.list_held(None, polls, || {
                deleting = Some(scope.spawn(delete));
                // A delete may have to wait until the listing is done.
                let _ = (1..=goes.len()).all(|count| gone.wait_for(count));
            });
            (listed, deleting.map(joined))
        });
        has_all(bench, &other, &listed?, &stays)?;
        match deleted {
            Some(deleted) => deleted?,
            // It was done before.
            None => break,
        }
    }
    Ok(())
}

/// The same with a store that never lets a listing be held: on another thread, as often as it takes for both to be at it
/// together.
fn parts_that_come_and_go_do_not_hide_others(bench: &Bench) -> Result<(), Breach> {
    const LISTINGS: usize = 4;
    let [one, other] = bench.pair();
    let stays = many_that_stay(bench, &[&one, &other])?;
    let (changes, listings) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failed = AtomicBool::new(false);
    let both_were_at_it = || {
        failed.load(Ordering::SeqCst)
            || (changes.load(Ordering::SeqCst) > 0 && listings.load(Ordering::SeqCst) >= LISTINGS)
    };
    thread::scope(|scope| {
        let changing = scope.spawn(|| {
            let goes = || (0..GO).map(|n| part(1, n, 1, 1));
            let round = || {
                goes().try_for_each(|key| one.put(key, &b"part"[..]))?;
                goes().try_for_each(|key| one.delete(key))
            };
            until(&both_were_at_it, &failed, &changes, round)
        });
        let listed = until(&both_were_at_it, &failed, &listings, || {
            has_all(bench, &other, &other.list(None)?, &stays)
        });
        joined(changing).and(listed)
    })
}

/// Does it again and again, and counts; whoever fails ends it for both.
fn until(
    over: &dyn Fn() -> bool,
    failed: &AtomicBool,
    done: &AtomicUsize,
    round: impl Fn() -> Result<(), Breach>,
) -> Result<(), Breach> {
    // Also where it panics.
    struct Ends<'a>(&'a AtomicBool);

    impl Drop for Ends<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    let ends = Ends(failed);
    while !over() {
        round()?;
        done.fetch_add(1, Ordering::SeqCst);
    }
    std::mem::forget(ends);
    Ok(())
}

/// More than a page holds, seen by all.
fn many_that_stay(bench: &Bench, handles: &[&Handle<'_>]) -> Result<BTreeSet<Key>, Breach> {
    let stays: BTreeSet<Key> = (0..bench.parts() as u64).map(|n| part(2, n, 1, 1)).collect();
    put_all(handles, stays.iter().copied().collect())?;
    handles.iter().try_for_each(|handle| lists(bench, handle, None, &stays))?;
    Ok(stays)
}

fn has_all(
    bench: &Bench,
    handle: &Handle<'_>,
    listed: &BTreeSet<Key>,
    stays: &BTreeSet<Key>,
) -> Result<(), Breach> {
    match stays.difference(listed).next() {
        None => Ok(()),
        Some(key) => Err(bench.broken(format!(
            "`list_parts` by {} left out {key}, which it had listed before, while others were deleted",
            handle.name
        ))),
    }
}

/// Neither what is half written nor what failed.
fn what_was_never_created_is_not_listed(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    let there = BTreeSet::from([part(1, 1, 1, 1)]);
    one.put(part(1, 1, 1, 1), &b"part"[..])?;
    lists(bench, &one, None, &there)?;

    let failures: [fn(&mut dyn io::Write) -> io::Result<()>; 3] = [
        |_| Err(io::ErrorKind::StorageFull.into()),
        |out| {
            out.write_all(&[7; LARGE])?;
            out.flush()?;
            Err(io::ErrorKind::StorageFull.into())
        },
        |out| {
            out.write_all(&[7; 10])?;
            std::panic::resume_unwind(Box::new("this state cannot be encoded"))
        },
    ];
    for (number, write) in (1..).zip(failures) {
        let _ = unless_panic(|| one.create_from(part(1, 1, 2, number), Content::new(write)));
        for handle in [&one, &other] {
            only(bench, handle, None, &there)?;
            only(bench, handle, Some(Generation(1)), &there)?;
        }
    }

    let key = part(1, 1, 3, 1);
    let (created, seen) = while_half_way(
        |pause| one.create_from(key, in_halves(shared(bytes(1, LARGE)), move || pause.here())),
        // It may have to wait until the part is there, and then it may show it.
        || Ok(one.list(None)?.contains(&key) && other.read(key)?.is_none()),
    );
    if seen? {
        return Err(bench.broken(format!("`list_parts` gave {key}, which was only half written")));
    }
    one.expect_created(key, Created::New, created)
}

fn what_was_deleted_is_no_longer_listed(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    let mut parts: BTreeSet<Key> = (1..=4).flat_map(|n| [part(1, n, 1, 1), part(2, 1, n, n)]).collect();
    for key in &parts {
        one.put(*key, &b"part"[..])?;
    }
    lists(bench, &other, None, &parts)?;
    for (at, key) in parts.clone().into_iter().enumerate() {
        let deleter = if at % 2 == 0 { &one } else { &other };
        deleter.delete(key)?;
        parts.remove(&key);
        for handle in [&one, &other] {
            lists(bench, handle, None, &parts)?;
            lists(bench, handle, generation(key), &of(&parts, generation(key).unwrap_or(Generation::FIRST)))?;
        }
    }
    one.put(part(1, 1, 1, 1), &b"part"[..])?;
    lists(bench, &other, Some(Generation(1)), &BTreeSet::from([part(1, 1, 1, 1)]))
}

/// Creates parts, several at a time.
fn put_all(handles: &[&Handle<'_>], keys: Vec<Key>) -> Result<(), Breach> {
    const THREADS: usize = 8;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (keys, handle) = (&keys, handles[thread % handles.len()]);
                scope.spawn(move || {
                    let mut mine = keys.iter().skip(thread).step_by(THREADS);
                    mine.try_for_each(|key| handle.put(*key, &b"part"[..]))
                })
            })
            .collect();
        threads.into_iter().try_for_each(joined)
    })
}

/// Waits until these are listed and no others: the limit of the step is the limit of the lag.
fn lists(
    bench: &Bench,
    handle: &Handle<'_>,
    generation: Option<Generation>,
    expected: &BTreeSet<Key>,
) -> Result<(), Breach> {
    let mut pause = PAUSE;
    let mut waited = Duration::ZERO;
    loop {
        let listed = handle.list(generation)?;
        if listed == *expected {
            return Ok(());
        }
        if waited > bench.limit() {
            let missing: Vec<_> = expected.difference(&listed).collect();
            let left: Vec<_> = listed.difference(expected).collect();
            return Err(bench.broken(format!(
                "`list_parts` of {} by {} gave {} parts{}{} after {waited:?}",
                generation.map_or("all".to_owned(), |generation| generation.to_string()),
                handle.name,
                listed.len(),
                sample(&missing, "not"),
                sample(&left, "still"),
            )));
        }
        // A listing may lag, and no store tells when it has caught up.
        thread::sleep(pause);
        waited += pause;
        pause = (pause * 2).min(bench.limit() / 4);
    }
}

/// Where nothing can lag: there never were others.
fn only(
    bench: &Bench,
    handle: &Handle<'_>,
    generation: Option<Generation>,
    expected: &BTreeSet<Key>,
) -> Result<(), Breach> {
    match handle.list(generation)?.difference(expected).next() {
        None => Ok(()),
        Some(key) => {
            Err(bench.broken(format!("`list_parts` by {} gave {key}, which was never created", handle.name)))
        }
    }
}

fn sample(keys: &[&Key], word: &str) -> String {
    match keys {
        [] => String::new(),
        [key] => format!(", {word} {key}"),
        [key, rest @ ..] => format!(", {word} {key} and {} others", rest.len()),
    }
}

fn is_part(key: Key) -> bool {
    matches!(key, Key::Part { .. })
}

fn generation(key: Key) -> Option<Generation> {
    match key {
        Key::Part { snapshot, .. } => Some(snapshot.generation),
        _ => None,
    }
}

fn of(parts: &BTreeSet<Key>, wanted: Generation) -> BTreeSet<Key> {
    parts.iter().copied().filter(|key| generation(*key) == Some(wanted)).collect()
}
