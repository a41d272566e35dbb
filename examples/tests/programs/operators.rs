//! What operators do wrong with the key-value server, and two processes of one node.

use std::fs;

use snapshot_examples::key_values::Line;

use crate::existing_app_group::{Group, NODES, Program};

/// Waits until a write at this node is acknowledged.
fn until_written(group: &mut Group, node: usize, key: &str) {
    group.until("a write is acknowledged", |group| {
        let answer = Line::open(group.clients[node]).and_then(|mut line| line.ask(&format!("SET {key} 1")));
        answer.is_ok_and(|answer| answer == "OK 1")
    });
}

#[test]
fn nodes_with_a_folder_each_are_told_and_nothing_is_acknowledged() {
    let mut group = Group::start_on(Program::After, 31, ["one", "two", "three"]);
    group.until("each node is told of the two others", |group| {
        (0..NODES).all(|node| group.told(node, "OtherHistory") >= 2)
    });
    for node in 0..NODES {
        let mut line = Line::open(group.clients[node]).expect("a server");
        let answer = line.ask("SET key 1").expect("an answer");
        assert!(answer.starts_with("ERR "), "{answer}\n{}", group.logs());
        assert_eq!(group.told(node, "OtherHistory"), 2, "and once of each:\n{}", group.logs());
        let records = fs::read_dir(group.store(node).join("journal")).expect("a journal").count();
        assert_eq!(records, 1, "nothing was committed");
    }
}

#[cfg(unix)]
#[test]
fn a_process_that_has_lost_the_store_takes_no_connection_from_its_successor() {
    use std::os::unix::fs::symlink;

    // Node 3, which dials the others, reaches the folder by a way of its own.
    let mut group = Group::start_on(Program::After, 32, ["snapshots", "snapshots", "snapshots"]);
    until_written(&mut group, 2, "first");
    group.kill(2);
    group.detour(2, "way");
    group.start_node(2);
    until_written(&mut group, 2, "second");
    let way = group.store(2);
    fs::remove_file(&way).expect("it is a link");
    symlink(way.with_file_name("nowhere"), &way).expect("a link");

    let old = group.succeed(2, 33);
    until_written(&mut group, 2, "third");
    // From here on the old one tries again and again, several times for each of these.
    let lost = |group: &Group| [0, 1].map(|node| group.told(node, "PeerLost"));
    let before = lost(&group);
    for round in 0..20 {
        for node in 0..NODES {
            until_written(&mut group, node, &format!("key-{round}-{node}"));
        }
    }
    assert_eq!(lost(&group), before, "nobody was disturbed:\n{}", group.logs());
    group.end(old);
}
