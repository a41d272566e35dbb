//! Records of the journal that are damaged: where they stand, what they said, what is wrong with them, and what becomes of the group.

use bytes::Bytes;

use crate::group::Group;
use snapshot_core::{Failure, Graph, Key, NodeId, Settings};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

/// What can happen to an object; given what another one holds.
type Damage = fn(&Bytes, &Bytes) -> Bytes;

const DAMAGES: [(&str, Damage); 4] = [
    ("empty", |_, _| Bytes::new()),
    ("cut short", |bytes, _| bytes.slice(..bytes.len() / 2)),
    ("one bit differs", |bytes, _| {
        let mut flipped = bytes.to_vec();
        flipped[bytes.len() / 2] ^= 1;
        flipped.into()
    }),
    ("an older one in its place", |_, older| older.clone()),
];

fn group(fall_back: bool) -> Group {
    Group::at_rest(Graph::mesh([A, B]), Settings { durable: true, fall_back, ..Settings::default() })
}

fn newest(group: &Group) -> u64 {
    let index = |key: &Key| match key {
        Key::Journal(index) => Some(*index),
        _ => None,
    };
    group.store.small.keys().filter_map(index).max().expect("there is a journal")
}

fn damage(group: &mut Group, index: u64, how: Damage) {
    let older = group.store.small[&Key::Journal(1)].clone();
    let record = group.store.small.get_mut(&Key::Journal(index)).expect("it is there");
    *record = how(record, &older);
}

/// What the newest record is.
#[derive(Clone, Copy, Debug)]
enum Last {
    Commit,
    Generation,
    Discard,
}

/// A group that has committed twice, and whose newest record is this one; all processes have died.
fn lived(fall_back: bool, last: Last) -> Group {
    let mut group = group(fall_back);
    for _ in 0..2 {
        group.pay_to(A, B);
        group.settle();
        group.initiate(A).expect("nothing is under way");
        group.settle();
    }
    match last {
        Last::Commit => {}
        Last::Generation => {
            group.crash(A);
            group.boot(A);
            group.settle();
        }
        Last::Discard => {
            let id = group.initiate(A).expect("nothing is under way");
            while group.deliver((A, B)) || group.serve_part(A) || group.serve_part(B) {}
            group.input(A, |a, _, _| assert!(a.abort(id)));
            group.settle();
        }
    }
    group.stop_all();
    for channel in group.channels.values_mut() {
        channel.clear();
    }
    group
}

#[test]
fn a_newest_record_that_is_damaged_ends_a_start_which_names_it() {
    for last in [Last::Commit, Last::Generation, Last::Discard] {
        for (what, how) in DAMAGES {
            let mut group = lived(false, last);
            let index = newest(&group);
            damage(&mut group, index, how);
            group.boot(B);
            group.settle();
            let failed = group.processes[&B].failed.clone();
            let Some(Failure::Record { key, .. }) = &failed else { panic!("{last:?}, {what}: {failed:?}") };
            assert_eq!(*key, Key::Journal(index));
            assert!(failed.unwrap().to_string().contains("fall_back"), "it says what can be done");
        }
    }
}

#[test]
fn where_the_group_may_fall_back_it_goes_on_and_what_is_whole_is_not_lost() {
    for last in [Last::Commit, Last::Generation, Last::Discard] {
        for (what, how) in DAMAGES {
            let mut group = lived(true, last);
            let index = newest(&group);
            damage(&mut group, index, how);
            // The harness looks that no turn is undone that was announced.
            group.boot_all();
            group.settle();
            for id in [A, B] {
                let process = &group.processes[&id];
                assert!(process.failed.is_none(), "{last:?}, {what}: {:?}", process.failed);
                assert!(process.coordinator.is_running(), "{last:?}, {what}");
            }
            let told = [A, B].map(|id| {
                let says = format!("{} cannot be read", Key::Journal(index));
                group.processes[&id].events.iter().filter(|event| event.contains(&says)).count()
            });
            assert!(told.iter().sum::<usize>() > 0, "{last:?}, {what}: {told:?}");
            group.pay_to(B, A);
            group.settle();
            let next = group.initiate(B).expect("it goes on");
            group.settle();
            assert_eq!(group.processes[&B].reports, [next], "{last:?}, {what}");
            // And again, with the damage in the middle.
            group.crash(A);
            group.boot(A);
            group.settle();
            assert!(group.processes.values().all(|process| process.failed.is_none()));
            assert!(group.check_cuts() > 0);
        }
    }
}

#[test]
fn several_at_the_end_are_passed_over_but_not_all() {
    for (count, starts) in [(1, true), (2, true), (3, false)] {
        let mut group = lived(true, Last::Commit);
        // Nothing was announced: it is the start that is looked at.
        group.promised.clear();
        let last = newest(&group);
        assert_eq!(last, 3);
        for index in last + 1 - count..=last {
            damage(&mut group, index, DAMAGES[0].1);
        }
        group.boot_all();
        group.settle();
        assert_eq!(group.processes[&A].coordinator.is_running(), starts, "{count} of {last}");
        assert_eq!(group.processes[&A].failed.is_some(), !starts);
    }
}

#[test]
fn a_damaged_record_that_a_later_one_sums_up_is_passed_over_by_those_who_run() {
    for (what, how) in DAMAGES {
        let mut group = group(false);
        group.initiate(A).expect("nothing is under way");
        // B has read up to 1, and hears of nothing.
        group.closed = [(A, B)].into();
        group.settle();
        group.closed.clear();
        group.settle();
        let second = group.initiate(A).expect("nothing is under way");
        group.settle();
        assert_eq!(newest(&group), 3, "two commits behind the first generation");
        damage(&mut group, 2, how);
        // B reads on when it commits.
        let third = group.initiate(B).expect("nothing is under way");
        group.settle();
        assert_eq!(group.processes[&A].reports.last(), Some(&second));
        assert_eq!(group.processes[&B].reports, [third], "{what}: {:?}", group.processes[&B].failed);
    }
}

#[test]
fn a_record_of_a_newer_release_is_no_damage() {
    let mut group = lived(true, Last::Commit);
    let index = newest(&group);
    // By its documented form: the version is byte 5, and the last four bytes are the checksum.
    let mut bytes = group.store.small[&Key::Journal(index)].to_vec();
    bytes[5] = 200;
    let contents = bytes.len() - 4;
    let checksum = crc32fast::hash(&bytes[..contents]);
    bytes[contents..].copy_from_slice(&checksum.to_le_bytes());
    group.store.small.insert(Key::Journal(index), bytes.into());
    group.boot(A);
    group.settle();
    let failed = group.processes[&A].failed.as_ref().map(ToString::to_string).unwrap_or_default();
    assert!(failed.contains("newer release"), "{failed}");
}
