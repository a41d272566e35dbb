use snapshot_core::Graph;

use super::*;

fn group(name: &str, members: &[u64], me: u64) -> Identity {
    let graph = Graph::mesh(members.iter().copied().map(NodeId)).named(name);
    Identity { topology: graph.at(NodeId(me)).unwrap(), max_frame: 4096, own: OwnLife::new(me) }
}

fn parse(message: &[u8]) -> (Prefix, &[u8]) {
    let (prefix, payload) = message.split_first_chunk().unwrap();
    let prefix = Prefix::read(prefix).unwrap();
    assert_eq!(prefix.len, payload.len());
    (prefix, payload)
}

fn heard(reader: u64, message: &[u8]) -> Hello {
    let (prefix, payload) = parse(message);
    Hello::read(NodeId(reader), prefix.version, payload).unwrap()
}

#[test]
fn two_nodes_of_one_group_agree_both_ways() {
    let (one, two) = (group("a", &[1, 2], 1), group("a", &[1, 2], 2));
    let hello = heard(1, &two.hello(NodeId(1), 0));
    assert_eq!((hello.max_frame, &*hello.group), (4096, "a"));
    assert_eq!(one.check_dialer(&hello, |_| None).unwrap().id(), NodeId(2));
    let welcome = heard(2, &one.welcome(NodeId(2), Place { session: 7, received: 9 }));
    assert_eq!(two.check_listener(NodeId(1), &welcome).unwrap().id(), NodeId(1));
    assert_eq!(welcome.place, Place { session: 7, received: 9 });
}

#[test]
fn an_answer_is_for_the_session_that_was_offered_or_for_none() {
    let read = |session, offered| {
        let message = accept(Place { session, received: 5 });
        Place::accepted(parse(&message).1, offered)
    };
    assert_eq!(read(7, 7), Ok(Place { session: 7, received: 5 }));
    assert_eq!(read(0, 7), Ok(Place { session: 0, received: 5 }));
    assert!(matches!(read(8, 7), Err(Disagreement::Protocol(_))));
    let whole = accept(Place { session: 7, received: 5 });
    for end in PREFIX..whole.len() {
        assert!(Place::accepted(&whole[PREFIX..end], 7).is_err(), "the first {end} bytes");
    }
    assert!(Place::accepted(&[&whole[PREFIX..], &[0]].concat(), 7).is_err());
}

#[test]
fn each_disagreement_is_found_by_the_side_that_was_dialed() {
    let one = group("a", &[1, 2], 1);
    let check = |dialer: Identity, to| {
        one.check_dialer(&heard(1, &dialer.hello(NodeId(to), 0)), |_| None).unwrap_err()
    };
    let (me, from) = (NodeId(1), NodeId(2));
    assert!(matches!(check(group("b", &[1, 2], 2), 1), Disagreement::Group { .. }));
    assert_eq!(check(group("a", &[1, 2], 2), 2), Disagreement::WrongNode { me, from, wanted: NodeId(2) });
    assert_eq!(check(group("a", &[1, 2], 1), 1), Disagreement::SameNode { me });
    assert_eq!(check(group("a", &[1, 9], 9), 1), Disagreement::Stranger { me, from: NodeId(9) });
    assert_eq!(
        check(group("a", &[1, 2, 3], 2), 1),
        Disagreement::Topology { me, from, group: "a".to_owned() }
    );
    let two = group("a", &[1, 2], 2);
    let wrong_way = two.check_dialer(&heard(2, &one.hello(NodeId(2), 0)), |_| None).unwrap_err();
    assert_eq!(wrong_way, Disagreement::Direction { me: NodeId(2), from: NodeId(1) });
}

#[test]
fn each_disagreement_is_found_by_the_side_that_dials() {
    let two = group("a", &[1, 2], 2);
    let check = |listener: Identity, to| {
        two.check_listener(NodeId(1), &heard(2, &listener.welcome(NodeId(to), Place::default()))).unwrap_err()
    };
    assert!(matches!(check(group("b", &[1, 2], 1), 2), Disagreement::Group { .. }));
    assert!(matches!(check(group("a", &[2, 3], 3), 2), Disagreement::WrongNode { .. }));
    assert!(matches!(check(group("a", &[1, 2, 3], 1), 2), Disagreement::Topology { .. }));
    assert!(matches!(check(group("a", &[1, 2], 1), 7), Disagreement::Protocol(_)));
}

#[test]
fn another_version_is_told_before_anything_else_and_names_its_sender() {
    let mut message = group("b", &[1, 2], 2).hello(NodeId(1), 0);
    message[4] = 9;
    let (prefix, payload) = parse(&message);
    let found = Hello::read(NodeId(1), prefix.version, &payload[..8]);
    assert_eq!(found, Err(Disagreement::Version { me: NodeId(1), theirs: 9 }));
    assert_eq!(Hello::sender(payload), Some(NodeId(2)));
}

#[test]
fn a_greeting_that_is_cut_short_is_refused_at_every_byte() {
    let message = group("a", &[1, 2], 2).hello(NodeId(1), 0);
    let (prefix, payload) = parse(&message);
    for end in 0..28 + Life::LEN + Place::LEN {
        assert!(Hello::read(NodeId(1), prefix.version, &payload[..end]).is_err());
    }
}

#[test]
fn a_start_that_is_none_is_refused() {
    let good = accept(Place::default());
    let good: &[u8; PREFIX] = good.first_chunk().unwrap();
    for (at, byte) in [(0, b'G'), (6, 0), (6, 5), (8, 0xff)] {
        let mut bytes = *good;
        bytes[at] = byte;
        assert!(Prefix::read(&bytes).is_err(), "byte {at}");
    }
}

#[test]
fn random_bytes_are_refused_without_a_panic() {
    for seed in 0..5000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut message = group("a", &[1, 2], 2).hello(NodeId(1), 0);
        for _ in 0..random.usize(1..5) {
            let at = random.usize(..message.len());
            message[at] = random.u8(..);
        }
        let (prefix, payload) = message.split_first_chunk().unwrap();
        if let Ok(prefix) = Prefix::read(prefix)
            && let Ok(hello) = Hello::read(NodeId(1), prefix.version, payload)
        {
            let _ = group("a", &[1, 2], 1).check_dialer(&hello, |_| None);
        }
    }
}

#[test]
fn a_refusal_is_cut_to_its_limit_and_cleaned() {
    let message = refusal(&"ö".repeat(5000));
    let (prefix, payload) = parse(&message);
    assert_eq!((prefix.step, payload.len()), (Step::Refusal, MAX_REFUSAL));
    assert_eq!(refusal_text(payload), "ö".repeat(MAX_REFUSAL / 2));
    assert_eq!(refusal_text(b"a\x1b[2Jb\xff"), "a\u{fffd}[2Jb\u{fffd}");
}
