//! The handshake.

use snapshot_core::{Generation, Graph, Life, NodeId};

use super::{check, flips, read};
use crate::handshake::{
    Disagreement, Hello, Identity, OwnLife, PREFIX, Place, Prefix, Step, VERSION, accept, refusal,
    refusal_text,
};

/// Where the parts of an account begin, behind the start of a message.
const TO: usize = PREFIX + 8;
const FINGERPRINT: usize = TO + 8;
const MAX_FRAME: usize = FINGERPRINT + 8;
const LIFE: usize = MAX_FRAME + 4;
const SESSION: usize = LIFE + Life::LEN;
const GROUP: usize = SESSION + 16;

/// FNV-1a of group, members and links, as `Topology::fingerprint` tells.
const GRAPH: u64 = 0xeb2b_648d_06a6_3bf9;

/// The session that is offered.
const PLACE: Place = Place { session: 0x0123_4567_89ab_cdef, received: 0x1122_3344_5566 };

const REASON: &str = "n1 speaks version 1 and its counterpart version 2: schöne Grüße";

/// What a node says of its process.
fn life(me: u64) -> Life {
    Life::new(u64::MAX - me).speaking(Generation(300))
}

fn node(me: u64) -> Identity {
    let own = OwnLife::new(u64::MAX - me);
    own.speaks(Generation(300));
    // One link carries only control, so that the fingerprint is one of both kinds.
    let graph = Graph::new([1, 2, 300].map(NodeId))
        .link(NodeId(1), NodeId(2))
        .link(NodeId(2), NodeId(1))
        .link(NodeId(2), NodeId(300))
        .with_way_back()
        .named("ledger ö");
    Identity { topology: graph.at(NodeId(me)).unwrap(), max_frame: 1 << 20, own }
}

/// Each message by the name of its file: what version 3 must always mean.
fn messages() -> [(&'static str, Step, Vec<u8>); 4] {
    [
        ("hello", Step::Hello, node(2).hello(NodeId(1), PLACE.session)),
        ("welcome", Step::Welcome, node(1).welcome(NodeId(2), PLACE)),
        ("accept", Step::Accept, accept(PLACE)),
        ("refusal", Step::Refusal, refusal(REASON)),
    ]
}

fn parse(message: &[u8]) -> Result<(Prefix, &[u8]), Disagreement> {
    let (prefix, payload) = message.split_first_chunk().expect("it has a start");
    Prefix::read(prefix).map(|prefix| (prefix, payload))
}

/// What the node that is dialed makes of it.
fn listened(message: &[u8]) -> Result<Hello, Disagreement> {
    let (prefix, payload) = parse(message)?;
    let hello = Hello::read(NodeId(1), prefix.version, payload)?;
    node(1).check_dialer(&hello, |_| None).map(|_| hello)
}

/// What the node that dials makes of it.
fn dialed(message: &[u8]) -> Result<Hello, Disagreement> {
    let (prefix, payload) = parse(message)?;
    let welcome = Hello::read(NodeId(2), prefix.version, payload)?;
    node(2).check_listener(NodeId(1), &welcome).map(|_| welcome)
}

#[test]
fn a_handshake_of_version_3_is_read_as_what_it_was() {
    for (name, step, _) in messages() {
        let bytes = read(&format!("handshake-3/{name}.bin"));
        let (prefix, payload) = parse(&bytes).unwrap();
        assert_eq!(prefix, Prefix { version: 3, step, len: payload.len() }, "{name}");
        match step {
            Step::Accept => assert_eq!(Place::accepted(payload, PLACE.session), Ok(PLACE)),
            Step::Refusal => assert_eq!(refusal_text(payload), REASON),
            Step::Hello | Step::Welcome => {
                let (from, to) = if step == Step::Hello { (2, 1) } else { (1, 2) };
                let expected = Hello {
                    from: NodeId(from),
                    to: NodeId(to),
                    fingerprint: GRAPH,
                    max_frame: 1 << 20,
                    life: life(from),
                    place: if step == Step::Hello { Place { received: 0, ..PLACE } } else { PLACE },
                    group: "ledger ö".to_owned(),
                };
                assert_eq!(Hello::read(NodeId(to), 3, payload), Ok(expected));
            }
        }
    }
    assert!(listened(&read("handshake-3/hello.bin")).is_ok());
    assert!(dialed(&read("handshake-3/welcome.bin")).is_ok());
}

#[test]
fn a_node_of_an_older_version_is_known_by_name_and_told_what_to_do() {
    for version in [1, 2] {
        for (name, me, from) in [("hello", 1, 2), ("welcome", 2, 1)] {
            let bytes = read(&format!("handshake-{version}/{name}.bin"));
            let (prefix, payload) = parse(&bytes).unwrap();
            assert_eq!((prefix.version, Hello::sender(payload)), (version, Some(NodeId(from))));
            let error = Hello::read(NodeId(me), prefix.version, payload).unwrap_err();
            assert!(error.to_string().contains("run the same release"), "{error}");
        }
        let bytes = read(&format!("handshake-{version}/refusal.bin"));
        assert_eq!(refusal_text(parse(&bytes).unwrap().1), REASON);
    }
}

#[test]
fn a_handshake_is_written_as_ever() {
    for (name, _, today) in messages() {
        check(&format!("handshake-{VERSION}/{name}.bin"), &today);
    }
}

#[test]
fn an_account_that_is_cut_short_anywhere_is_refused() {
    for (name, hear) in [("hello", listened as fn(&[u8]) -> _), ("welcome", dialed)] {
        let bytes = read(&format!("handshake-3/{name}.bin"));
        for end in PREFIX..bytes.len() {
            let error = hear(&bytes[..end]).expect_err("it is not whole");
            let expected = match error {
                Disagreement::Protocol(_) => end < GROUP || end == bytes.len() - 1, // in the middle of the ö
                Disagreement::Group { .. } => end >= GROUP,
                _ => false,
            };
            assert!(expected, "{name} cut to {end}: {error}");
        }
    }
}

#[test]
fn a_flipped_bit_is_a_disagreement_on_what_it_stands_for() {
    for (name, step, hear) in
        [("hello", Step::Hello, listened as fn(&[u8]) -> _), ("welcome", Step::Welcome, dialed)]
    {
        let bytes = read(&format!("handshake-3/{name}.bin"));
        let whole = hear(&bytes).unwrap();
        for (bit, flipped) in flips(&bytes) {
            let found = hear(&flipped);
            let expected = match bit / 8 {
                0..=3 => matches!(found, Err(Disagreement::Protocol(_))),
                4..=5 => matches!(found, Err(Disagreement::Version { .. })),
                // Kind and length: what comes is out of turn, or not of that length.
                6..PREFIX => match parse(&flipped) {
                    Ok((prefix, payload)) => prefix.step != step || prefix.len != payload.len(),
                    Err(error) => matches!(error, Disagreement::Protocol(_)),
                },
                PREFIX..TO => matches!(
                    found,
                    Err(Disagreement::Stranger { .. }
                        | Disagreement::SameNode { .. }
                        | Disagreement::WrongNode { .. })
                ),
                TO..FINGERPRINT => {
                    matches!(found, Err(Disagreement::WrongNode { .. } | Disagreement::Protocol(_)))
                }
                FINGERPRINT..MAX_FRAME => matches!(found, Err(Disagreement::Topology { .. })),
                // Any limit may be.
                MAX_FRAME..LIFE => found.as_ref().is_ok_and(|other| {
                    let same = Hello { max_frame: whole.max_frame, ..other.clone() };
                    other.max_frame != whole.max_frame && same == whole
                }),
                // Any life as well: no connection stands.
                LIFE..SESSION => found.as_ref().is_ok_and(|other| {
                    let same = Hello { life: whole.life, ..other.clone() };
                    other.life != whole.life && same == whole
                }),
                // And any place in a session.
                SESSION..GROUP => found.as_ref().is_ok_and(|other| {
                    let same = Hello { place: whole.place, ..other.clone() };
                    other.place != whole.place && same == whole
                }),
                _ => matches!(found, Err(Disagreement::Group { .. } | Disagreement::Protocol(_))),
            };
            assert!(expected, "bit {bit} of {name}: {found:?}");
        }
    }
}
