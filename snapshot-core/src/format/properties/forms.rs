//! The small forms: stamps, control frames, keys, seats.

use std::time::Duration;

use proptest::prelude::*;

use crate::format::control::{Control, Grant, Receipt};
use crate::format::envelope::{decode_seat, encode_seat};
use crate::vocabulary::frame::Stamp;
use crate::vocabulary::id::{NodeId, Turn};
use crate::vocabulary::key::Key;
use crate::vocabulary::outcome::{AbortReason, Awaiting};
use crate::vocabulary::properties::{generations, holds, nodes, numbers, snapshots};

/// As many nodes as are named to others.
fn named() -> impl Strategy<Value = Vec<NodeId>> {
    prop::collection::vec(nodes(), 0..=16)
}

fn awaiting() -> impl Strategy<Value = Awaiting> {
    prop_oneof![
        Just(Awaiting::Unknown),
        named().prop_map(|of| Awaiting::Markers { of }),
        Just(Awaiting::Store),
        named().prop_map(|of| Awaiting::Receipts { of }),
        Just(Awaiting::Journal),
    ]
}

fn reasons() -> impl Strategy<Value = AbortReason> {
    prop_oneof![
        awaiting().prop_map(|awaiting| AbortReason::Deadline { awaiting }),
        Just(AbortReason::RecordingFull),
        Just(AbortReason::TooMany),
        nodes().prop_map(|peer| AbortReason::PeerLost { peer }),
        any::<String>().prop_map(|error| AbortReason::StoreFailed { error }),
        Just(AbortReason::Requested),
        Just(AbortReason::RolledBack),
        Just(AbortReason::Superseded),
        Just(AbortReason::StoreBehind),
    ]
}

fn receipts() -> impl Strategy<Value = Receipt> {
    ((snapshots(), nodes(), numbers(), numbers()), (any::<u32>(), numbers(), numbers(), numbers())).prop_map(
        |((snapshot, member, turn, size), (checksum, messages, capture, durable_after))| Receipt {
            snapshot,
            member,
            turn: Turn(turn),
            size,
            checksum,
            messages,
            capture: Duration::from_micros(capture),
            durable_after: Duration::from_micros(durable_after),
        },
    )
}

fn grants() -> impl Strategy<Value = Grant> {
    (numbers(), numbers(), numbers(), any::<bool>()).prop_map(|(taken, messages, bytes, whole)| Grant {
        taken,
        messages,
        bytes,
        whole,
    })
}

fn controls() -> impl Strategy<Value = Control> {
    prop_oneof![
        numbers().prop_map(|nonce| Control::Hello { nonce }),
        snapshots().prop_map(|snapshot| Control::Marker { snapshot }),
        receipts().prop_map(Control::Receipt),
        (snapshots(), numbers()).prop_map(|(snapshot, index)| Control::Committed { snapshot, index }),
        (snapshots(), nodes(), reasons()).prop_map(|(snapshot, by, reason)| Control::Aborted {
            snapshot,
            by,
            reason
        }),
        (nodes(), nodes(), grants()).prop_map(|(sender, receiver, grant)| Control::Grant {
            sender,
            receiver,
            grant
        }),
        Just(Control::Ask),
    ]
}

fn keys() -> impl Strategy<Value = Key> {
    prop_oneof![
        numbers().prop_map(Key::Journal),
        (generations(), nodes()).prop_map(|(generation, node)| Key::Seat { generation, node }),
        nodes().prop_map(Key::Initial),
        (snapshots(), nodes()).prop_map(|(snapshot, node)| Key::Part { snapshot, node }),
        (snapshots(), nodes()).prop_map(|(snapshot, node)| Key::Evidence { snapshot, node }),
    ]
}

/// Bytes that are near to being a frame: begun as one, and then anything.
fn nearly(valid: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let bent = (valid, any::<prop::sample::Index>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..4));
    bent.prop_map(|(mut bytes, at, byte, more)| {
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.extend(more);
        bytes
    })
}

#[test]
fn a_stamp_comes_back_from_its_bytes_and_from_no_others() {
    holds((generations(), numbers()), |(generation, number)| {
        let stamp = Stamp::new(generation, number);
        let bytes = stamp.to_bytes();
        prop_assert!((3..=Stamp::MAX_LEN).contains(&bytes.len()));
        prop_assert_eq!(Stamp::from_bytes(&bytes), Ok(stamp));
        Ok(())
    });
    let stamps = (generations(), numbers()).prop_map(|(g, n)| Stamp::new(g, n).to_bytes().to_vec());
    holds(nearly(stamps), |bytes| {
        if let Ok(stamp) = Stamp::from_bytes(&bytes) {
            prop_assert_eq!(&stamp.to_bytes()[..], bytes);
        }
        Ok(())
    });
}

#[test]
fn a_control_frame_comes_back_from_its_bytes_and_from_no_others() {
    holds(controls(), |control| {
        prop_assert_eq!(Control::decode(&control.encode()), Ok(control));
        Ok(())
    });
    holds(nearly(controls().prop_map(|control| control.encode().to_vec())), |bytes| {
        if let Ok(control) = Control::decode(&bytes) {
            prop_assert_eq!(&control.encode()[..], bytes);
        }
        Ok(())
    });
}

#[test]
fn a_control_frame_is_short_however_many_nodes_are_waited_for_and_whatever_a_store_said() {
    let many = prop::collection::vec(nodes(), 0..100);
    holds((snapshots(), nodes(), many, ".{0,900}"), |(snapshot, by, of, error)| {
        let first: Vec<NodeId> = of.iter().copied().take(16).collect();
        let reason = AbortReason::Deadline { awaiting: Awaiting::Markers { of } };
        let bytes = Control::Aborted { snapshot, by, reason }.encode();
        prop_assert!(bytes.len() <= 1024);
        let reason = AbortReason::Deadline { awaiting: Awaiting::Markers { of: first } };
        prop_assert_eq!(Control::decode(&bytes), Ok(Control::Aborted { snapshot, by, reason }));

        let reason = AbortReason::StoreFailed { error };
        let bytes = Control::Aborted { snapshot, by, reason }.encode();
        prop_assert!(bytes.len() <= 1024);
        prop_assert!(Control::decode(&bytes).is_ok());
        Ok(())
    });
}

#[test]
fn a_key_comes_back_from_its_text_and_from_no_other() {
    holds((keys(), keys()), |(key, other)| {
        let text = key.to_string();
        prop_assert_eq!(Key::parse(&text), Some(key));
        prop_assert!(text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'/')));
        // The order of texts is the order of numbers, so that a listing comes in the order of the objects.
        if std::mem::discriminant(&key) == std::mem::discriminant(&other) {
            prop_assert_eq!(text.cmp(&other.to_string()), key.cmp(&other));
        }
        Ok(())
    });
    let texts = keys().prop_map(|key| key.to_string().into_bytes());
    holds(nearly(texts), |bytes| {
        if let Ok(text) = String::from_utf8(bytes)
            && let Some(key) = Key::parse(&text)
        {
            prop_assert_eq!(key.to_string(), text);
        }
        Ok(())
    });
}

#[test]
fn a_seat_comes_back_from_its_bytes() {
    holds(numbers(), |life| {
        prop_assert_eq!(decode_seat(&encode_seat(life)), Ok(life));
        Ok(())
    });
}
