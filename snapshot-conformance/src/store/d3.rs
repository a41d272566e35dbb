//! D3: `read` gives all that was written under the key, or says that there is nothing.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use snapshot_core::{Content, Created, Key};

use super::bench::{Bench, Check, Handle, POLLS, poll_and_drop, shared};
use super::contents::{LARGE, bytes, compared, forms, in_halves, in_pieces, read_in_halves, read_in_pieces};
use super::keys::{confusable, of_each_kind, part};
use super::meet::{joined, while_half_way};
use crate::Breach;

/// How long a reader looks again and again at what others write.
const LOOKING: Duration = Duration::from_millis(300);

pub(super) const CHECKS: &[Check] = &[
    nothing_is_there_at_first,
    objects_of_all_sizes_in_pieces_of_all_sizes,
    objects_of_forms_that_a_store_might_know,
    every_key_has_an_object_of_its_own,
    what_is_half_written_is_not_there,
    what_is_being_written_is_whole_or_not_there,
    readers_side_by_side,
    what_is_deleted_while_it_is_read,
    what_a_crash_leaves_half_way,
];

fn nothing_is_there_at_first(bench: &Bench) -> Result<(), Breach> {
    let [one, _] = bench.pair();
    for key in of_each_kind(1).into_iter().chain(of_each_kind(u64::MAX)) {
        one.must_miss(key, "in a store that nothing was written to")?;
    }
    one.put(part(1, 1, 1, 1), &b"the first"[..])?;
    one.put(Key::Journal(2), &b"a record"[..])?;
    for key in of_each_kind(1) {
        one.must_miss(key, "where only others were created")?;
    }
    Ok(())
}

fn objects_of_all_sizes_in_pieces_of_all_sizes(bench: &Bench) -> Result<(), Breach> {
    let handles = bench.pair();
    const K: usize = 1 << 10;
    let sizes = [0, 1, 511, 4 * K, 64 * K - 1, 64 * K, 64 * K + 1, 256 * K, LARGE, 5 * K * K + 3];
    for (number, size) in (0..).zip(sizes) {
        let written = shared(bytes(number, size));
        for (way, key) in of_each_kind(10 + number).into_iter().enumerate() {
            // Records, seats and initial states alike; but only some kinds with the largest.
            if size > LARGE && way % 3 != 0 {
                continue;
            }
            let [writer, reader] = [&handles[way % 2], &handles[(way + 1) % 2]];
            writer.expect_created(key, Created::New, writer.create_from(key, in_pieces(written.clone())))?;
            for pieces in [1, 1000, 1 << 20].into_iter().filter(|pieces| size / pieces < 100_000) {
                let found = reader.read_by(key, move |input| read_in_pieces(input, pieces))?;
                holds(bench, key, found.as_deref(), &written, &format!("read in pieces of {pieces}"))?;
            }
            reader.read_by(key, |input| {
                let mut begin = Vec::new();
                input.take(3).read_to_end(&mut begin)?;
                Ok(begin)
            })?;
            reader.must_hold(key, &written, "after one that read only its beginning")?;
        }
    }
    Ok(())
}

/// Bytes are bytes, whatever they look like.
fn objects_of_forms_that_a_store_might_know(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    for (number, written) in (40..).zip(forms()) {
        for key in of_each_kind(number) {
            one.put(key, written.clone())?;
            let when = format!("whose bytes begin with {:02x?},", &written[..written.len().min(12)]);
            other.must_hold(key, &written, &when)?;
        }
    }
    Ok(())
}

fn every_key_has_an_object_of_its_own(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    let keys = confusable();
    for key in &keys {
        other.must_miss(*key, "before it was created, and after others were")?;
        one.put(*key, format!("the object {key}"))?;
    }
    for key in keys {
        other.must_hold(key, format!("the object {key}").as_bytes(), "among keys that are much alike")?;
    }
    Ok(())
}

fn what_is_half_written_is_not_there(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    for (number, (looker, size)) in (100..).zip([(&one, LARGE), (&other, LARGE), (&one, 10), (&other, 10)]) {
        for key in of_each_kind(number) {
            let written = shared(bytes(number, size));
            let (created, found) = while_half_way(
                |pause| one.create_from(key, in_halves(written.clone(), move || pause.here())),
                || looker.read(key),
            );
            // A store may let the reader wait until the writer is done; a part is what nobody may see.
            if let found @ Some(_) = found? {
                holds(bench, key, found.as_deref(), &written, "while it was being written")?;
            }
            one.expect_created(key, Created::New, created)?;
            looker.must_hold(key, &written, "after it was written")?;
        }
    }
    Ok(())
}

/// Not only while the content is asked for, but whenever the store does its work.
fn what_is_being_written_is_whole_or_not_there(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    let written = shared(bytes(5, 4 << 20));
    let begun = Instant::now();
    for round in 0..200 {
        if round >= 4 && begun.elapsed() > LOOKING {
            break;
        }
        let key = part(5, round, 1, 1);
        let done = AtomicBool::new(false);
        let (created, looked) = thread::scope(|scope| {
            let (one, written, done) = (&one, &written, &done);
            let writer = scope.spawn(move || {
                let created = one.create_from(key, in_pieces(written.clone()));
                done.store(true, Ordering::SeqCst);
                created
            });
            let look = |looker: &Handle<'_>| {
                while !done.load(Ordering::SeqCst) {
                    if let found @ Some(_) = looker.read(key)? {
                        return holds(bench, key, found.as_deref(), written, "while it was being written");
                    }
                }
                Ok(())
            };
            let looked = look(if round % 2 == 0 { &other } else { one });
            (joined(writer), looked)
        });
        looked?;
        one.expect_created(key, Created::New, created)?;
        one.delete(key)?;
    }
    Ok(())
}

fn readers_side_by_side(bench: &Bench) -> Result<(), Breach> {
    let handles = bench.pair();
    let written: Vec<Vec<u8>> = (0..4).map(|n| bytes(20 + n, LARGE)).collect();
    for (n, bytes) in (0..).zip(&written) {
        handles[0].put(part(6, 1, 1, n), bytes.clone())?;
    }
    thread::scope(|scope| {
        let readers: Vec<_> = (0..8_usize)
            .map(|reader| {
                let (handle, written) = (&handles[reader % 2], &written);
                scope.spawn(move || {
                    for n in 0..4 {
                        let n = (n + reader) % 4;
                        handle.must_hold(part(6, 1, 1, n as u64), &written[n], "beside other readers")?;
                    }
                    Ok(())
                })
            })
            .collect();
        readers.into_iter().try_for_each(joined)
    })
}

/// The one who reads has all of the old object, or an error; not its beginning, and not the end of the new one.
fn what_is_deleted_while_it_is_read(bench: &Bench) -> Result<(), Breach> {
    let [one, other] = bench.pair();
    for (round, created_again) in [false, true, false, true].into_iter().enumerate() {
        let key = part(8, round as u64, 1, 1);
        let (old, new) = (shared(bytes(30, LARGE)), shared(bytes(31, LARGE)));
        one.put(key, old.to_vec())?;
        let deleter = if round < 2 { &one } else { &other };
        let ((read, collected), changed) = while_half_way(
            |pause| {
                let (sink, collected) = read_in_halves(LARGE, move || pause.here());
                (one.read_into(key, sink), collected)
            },
            || {
                deleter.delete(key)?;
                if created_again { deleter.put(key, new.to_vec()) } else { Ok(()) }
            },
        );
        changed?;
        let found = collected.take();
        if let Ok(true) = read
            && found.as_deref() != Some(new.as_slice())
        {
            holds(bench, key, found.as_deref(), &old, "while it was deleted")?;
        }
    }
    Ok(())
}

fn what_a_crash_leaves_half_way(bench: &Bench) -> Result<(), Breach> {
    if !bench.crash() {
        return Ok(());
    }
    let written = bytes(40, LARGE);
    for polls in 1..=POLLS {
        let mut ended = true;
        for key in of_each_kind(polls as u64) {
            let author = bench.open("a process that dies");
            let call = author.store.create(key, Content::from(bytes::Bytes::from(written.clone())));
            ended &= poll_and_drop(bench, call, polls);
            drop(author);
            bench.crash();
            if let found @ Some(_) = bench.open("the process after the crash").read(key)? {
                holds(bench, key, found.as_deref(), &written, "after a crash in the middle of its `create`")?;
            }
        }
        if ended {
            break;
        }
    }
    Ok(())
}

fn holds(bench: &Bench, key: Key, found: Option<&[u8]>, written: &[u8], when: &str) -> Result<(), Breach> {
    if found == Some(written) {
        return Ok(());
    }
    Err(bench.broken(format!("`read` of {key}, {when}, found {}", compared(found, written))))
}
