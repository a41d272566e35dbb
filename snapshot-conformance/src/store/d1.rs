//! D1: of any number of `create` calls for one key at most one returns `New`; all others change nothing.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use snapshot_core::{Content, Created, Key, StoreError};

use super::bench::chain;
use super::bench::{Bench, Check, Handle, first, shared, unless_panic};
use super::contents::{LARGE, bytes, in_halves};
use super::keys::{of_each_kind, part};
use super::meet::{Start, Tally, joined, while_half_way};
use crate::Breach;

/// Two who write at the same moment meet in a gap of nanoseconds only sometimes: they try again and again, quick stores more
/// often than slow ones.
const RACING: Duration = Duration::from_millis(400);
const ROUNDS: std::ops::RangeInclusive<u64> = 20..=5000;

pub(super) const CHECKS: &[Check] = &[
    who_comes_later_changes_nothing,
    a_writer_that_is_overtaken_half_way,
    a_writer_that_ends_while_another_is_half_way,
    writers_that_are_half_way_together,
    calls_of_one_task_side_by_side,
    two_at_once,
    many_at_once,
];

fn who_comes_later_changes_nothing(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    for (number, (first, second)) in [
        (&b"first"[..], &b"second, and longer"[..]),
        (b"the same", b"the same"),
        (b"longer than the next", b"short"),
        (b"not empty", b""),
        (b"", b"not empty"),
    ]
    .into_iter()
    .enumerate()
    {
        for key in of_each_kind(1 + number as u64) {
            one.put(key, first)?;
            for handle in [&one, &other, &bench.open("a process that came later")] {
                handle.put_again(key, second)?;
                handle.must_hold(key, first, "after a second `create`")?;
            }
            let failing = Content::new(|out| {
                out.write_all(b"third")?;
                Err(io::ErrorKind::StorageFull.into())
            });
            // That it fails is as good as that it exists.
            if let Ok(Created::New) = other.create_from(key, failing) {
                return Err(bench.broken(format!("`create` of {key}, which existed, returned New")));
            }
            for handle in [&one, &other] {
                handle.must_hold(key, first, "after a `create` that failed")?;
            }
        }
    }
    Ok(())
}

fn a_writer_that_is_overtaken_half_way(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    for (number, overtaking) in [&one, &other].into_iter().enumerate() {
        for key in of_each_kind(100 + number as u64) {
            let contents = [shared(bytes(1, LARGE)), shared(bytes(2, LARGE / 2))];
            let (slow, quick) = while_half_way(
                |pause| one.create_from(key, in_halves(contents[0].clone(), move || pause.here())),
                || overtaking.create(key, contents[1].to_vec()),
            );
            let contents = contents.map(|bytes| bytes.to_vec());
            judge(bench, &[&one, &other], key, &[slow, quick], &contents)?;
        }
    }
    Ok(())
}

fn a_writer_that_ends_while_another_is_half_way(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    for (number, second) in [&one, &other].into_iter().enumerate() {
        for key in of_each_kind(150 + number as u64) {
            let contents = [shared(bytes(1, LARGE)), shared(bytes(2, LARGE / 2))];
            let (both_half_way, ended) = (Tally::default(), Tally::default());
            let (outcome, outcome_of_second) = while_half_way(
                |pause| {
                    let go_on = both_half_way.clone();
                    let content = in_halves(contents[0].clone(), move || pause.until(&go_on));
                    let outcome = one.create_from(key, content);
                    ended.add();
                    outcome
                },
                || {
                    let (both_half_way, ended) = (both_half_way.clone(), ended.clone());
                    let content = in_halves(contents[1].clone(), move || {
                        both_half_way.add();
                        ended.wait_for(1);
                    });
                    second.create_from(key, content)
                },
            );
            let contents = contents.map(|bytes| bytes.to_vec());
            judge(bench, &[&one, &other], key, &[outcome, outcome_of_second], &contents)?;
        }
    }
    Ok(())
}

fn writers_that_are_half_way_together(bench: &Bench) -> Result<(), Breach> {
    let handles = bench.pair();
    for round in 0..3 {
        for key in of_each_kind(200 + round) {
            let contents: Vec<_> = (0..3).map(|n| bytes(10 + n, 80_000 + 1000 * n as usize)).collect();
            let together = Tally::default();
            let outcomes = thread::scope(|scope| {
                let writing: Vec<_> = (0..)
                    .zip(&contents)
                    .map(|(n, bytes)| {
                        let (together, handle) = (together.clone(), &handles[n % 2]);
                        let content = in_halves(shared(bytes.clone()), move || {
                            together.add();
                            together.wait_for(3);
                        });
                        scope.spawn(move || handle.create_from(key, content))
                    })
                    .collect();
                writing.into_iter().map(joined).collect::<Vec<_>>()
            });
            judge(bench, &[&handles[0], &handles[1]], key, &outcomes, &contents)?;
        }
    }
    Ok(())
}

fn calls_of_one_task_side_by_side(bench: &Bench) -> Result<(), Breach> {
    let handles = bench.pair();
    for round in 0..20 {
        let key = part(3, round, 1, 1);
        bench.trial.step(format!("eight calls of `create` for {key} in one task"));
        let contents: Vec<_> = (0..8).map(|n| bytes(n, 100 + n as usize)).collect();
        let calls = (0..).zip(&contents).map(|(n, bytes)| {
            let store: &dyn snapshot_core::SnapshotStore = &*handles[n % 2].store;
            store.create(key, Bytes::from(bytes.clone()).into())
        });
        let outcomes = bench.block_on(join_all(calls));
        judge(bench, &[&handles[0], &handles[1]], key, &outcomes, &contents)?;
    }
    Ok(())
}

fn two_at_once(bench: &Bench) -> Result<(), Breach> {
    race(bench, 2, RACING)
}

fn many_at_once(bench: &Bench) -> Result<(), Breach> {
    race(bench, 8, RACING / 2)
}

fn race(bench: &Bench, threads: usize, time: Duration) -> Result<(), Breach> {
    let handles = bench.pair();
    let key = |round: u64| part(4, round, threads as u64, 1);
    let contents: Vec<_> = (0..threads as u64).map(|n| bytes(n, 50 + 10 * n as usize)).collect();
    bench.trial.step(format!("{threads} threads that race with `create`"));
    let (start, over, begun) = (Start::of(threads), AtomicBool::new(false), Instant::now());
    let racing = |n: usize| {
        let (store, content) = (&handles[n % 2].store, Bytes::from(contents[n].clone()));
        let mut outcomes = Vec::new();
        for round in 0..*ROUNDS.end() {
            let call = store.create(key(round), content.clone().into());
            if n == 0 {
                bench.trial.step(format!("{threads} threads that race with `create` for {}", key(round)));
                over.store(round >= *ROUNDS.start() && begun.elapsed() > time, Ordering::SeqCst);
            }
            start.wait();
            if over.load(Ordering::SeqCst) {
                break;
            }
            // Whoever panics must not keep the others waiting.
            outcomes.push(unless_panic(|| bench.block_on(call)));
            // So that the next word is not said before all have read this one.
            start.wait();
        }
        outcomes
    };
    let outcomes: Vec<Vec<_>> = thread::scope(|scope| {
        let racing = &racing;
        let threads: Vec<_> = (0..threads).map(|n| scope.spawn(move || racing(n))).collect();
        threads.into_iter().map(joined).collect()
    });
    let mut all: Vec<_> = outcomes.into_iter().map(Vec::into_iter).collect();
    let mut winners = Vec::new();
    for round in 0.. {
        let outcomes: Vec<_> = all.iter_mut().filter_map(Iterator::next).flatten().collect();
        match outcomes.len() {
            0 => break,
            count if count < threads => {
                return Err(bench.broken(format!("a `create` of {} beside others panicked", key(round))));
            }
            _ => {}
        }
        winners
            .push((key(round), judge(bench, &[&handles[0], &handles[1]], key(round), &outcomes, &contents)?));
    }
    if winners.iter().all(|(_, winner)| winner.is_none()) {
        return Err(
            bench.broken(format!("of {} races of {threads} writers, all calls failed", winners.len()))
        );
    }
    // Not overwritten later either.
    for (key, winner) in winners {
        if let Some(bytes) = winner {
            handles[0].must_hold(key, &bytes, "after all races")?;
        }
    }
    Ok(())
}

/// Whether at most one of them won, and what is there is the winner's, which is returned. Some may have failed: then a failed
/// one's content may be there instead (D7).
fn judge(
    bench: &Bench,
    handles: &[&Handle<'_>],
    key: Key,
    outcomes: &[Result<Created, StoreError>],
    contents: &[Vec<u8>],
) -> Result<Option<Vec<u8>>, Breach> {
    let of = |wanted| {
        outcomes.iter().zip(contents).filter(move |(outcome, _)| outcome.as_ref().ok() == Some(&wanted))
    };
    let winners: Vec<&Vec<u8>> = of(Created::New).map(|(_, content)| content).collect();
    let failed: Vec<&StoreError> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    match winners[..] {
        [content] => {
            let hold = |handle: &&Handle<'_>| handle.must_hold(key, content, "after all writers");
            first(handles.iter().map(hold))?;
            Ok(Some(content.clone()))
        }
        [] if failed.is_empty() => Err(bench.broken(format!(
            "{} calls of `create` for {key} at the same time all returned Exists, where there was nothing",
            outcomes.len()
        ))),
        [] => {
            let of_the_failed = outcomes
                .iter()
                .zip(contents)
                .filter(|(outcome, _)| outcome.is_err())
                .map(|(_, content)| content);
            let found = handles[0].read(key)?;
            let exists = of(Created::Exists).next().is_some();
            match &found {
                None if !exists => Ok(None),
                Some(bytes) if of_the_failed.clone().any(|content| content == bytes) => Ok(None),
                _ => Err(bench.broken(format!(
                    "of {} calls of `create` for {key} at the same time none returned New, some returned Exists, and what \
                     is there was written by none that failed ({})",
                    outcomes.len(),
                    chain(failed[0])
                ))),
            }
        }
        _ => Err(bench.broken(format!(
            "{} of {} calls of `create` for {key} at the same time returned New",
            winners.len(),
            outcomes.len()
        ))),
    }
}
