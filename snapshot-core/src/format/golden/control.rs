//! Control frames, and stamps.

use std::time::Duration;

use bytes::Bytes;

use super::{check, flips, read, truncations};
use crate::format::control::{Control, Grant, Receipt};
use crate::vocabulary::frame::{Body, Frame, FrameKind, Stamp};
use crate::vocabulary::id::{Generation, NodeId, SnapshotId, Turn};
use crate::vocabulary::malformed::Malformed;
use crate::vocabulary::outcome::{AbortReason, Awaiting};

const SNAPSHOT: SnapshotId =
    SnapshotId { generation: Generation(2), sequence: 300, initiator: NodeId(u64::MAX) };

/// One control frame of each kind, by the name of its file: the values that version 2 must always mean.
fn frames() -> [(&'static str, Control); 21] {
    let snapshot = SNAPSHOT;
    let receipt = Receipt {
        snapshot,
        member: NodeId(5),
        turn: Turn(77),
        size: 1 << 40,
        checksum: u32::MAX,
        messages: 3,
        capture: Duration::from_micros(12),
        durable_after: Duration::from_millis(7),
    };
    let aborted = |reason| Control::Aborted { snapshot, by: NodeId(1), reason };
    let deadline = |awaiting| aborted(AbortReason::Deadline { awaiting });
    let store_failed = AbortReason::StoreFailed { error: "no space, schöne Grüße".to_owned() };
    let (sender, receiver) = (NodeId(300), NodeId(1));
    let grant = Grant { taken: 1 << 40, messages: 4096, bytes: 4 << 20, whole: true };
    let part = Grant { taken: 0, messages: 0, bytes: 0, whole: false };
    [
        ("hello", Control::Hello { nonce: u64::MAX - 1 }),
        ("marker", Control::Marker { snapshot }),
        ("receipt", Control::Receipt(receipt)),
        ("committed", Control::Committed { snapshot, index: 128 }),
        ("aborted-deadline-unknown", deadline(Awaiting::Unknown)),
        ("aborted-deadline-markers", deadline(Awaiting::Markers { of: vec![NodeId(200)] })),
        ("aborted-deadline-store", deadline(Awaiting::Store)),
        ("aborted-deadline-receipts", deadline(Awaiting::Receipts { of: vec![NodeId(2), NodeId(200)] })),
        ("aborted-deadline-nobody", deadline(Awaiting::Receipts { of: vec![] })),
        ("aborted-deadline-journal", deadline(Awaiting::Journal)),
        ("aborted-recording-full", aborted(AbortReason::RecordingFull)),
        ("aborted-too-many", aborted(AbortReason::TooMany)),
        ("aborted-peer-lost", aborted(AbortReason::PeerLost { peer: NodeId(200) })),
        ("aborted-store-failed", aborted(store_failed)),
        ("aborted-requested", aborted(AbortReason::Requested)),
        ("aborted-rolled-back", aborted(AbortReason::RolledBack)),
        ("aborted-superseded", aborted(AbortReason::Superseded)),
        ("aborted-store-behind", aborted(AbortReason::StoreBehind)),
        ("grant", Control::Grant { sender, receiver, grant }),
        ("grant-of-nothing", Control::Grant { sender, receiver, grant: part }),
        ("ask", Control::Ask),
    ]
}

/// Those of version 1, which is only looked at: what each is.
fn first() -> [(&'static str, FrameKind); 12] {
    let outcome = FrameKind::Outcome(SNAPSHOT);
    [
        ("hello", FrameKind::Hello),
        ("marker", FrameKind::Marker(SNAPSHOT)),
        ("receipt", FrameKind::Receipt(SNAPSHOT)),
        ("committed", outcome),
        ("aborted-deadline", outcome),
        ("aborted-recording-full", outcome),
        ("aborted-too-many", outcome),
        ("aborted-peer-lost", outcome),
        ("aborted-store-failed", outcome),
        ("aborted-requested", outcome),
        ("aborted-rolled-back", outcome),
        ("aborted-superseded", outcome),
    ]
}

/// What somebody takes a frame for who only looks at it.
fn kind(bytes: &[u8]) -> Result<FrameKind, Malformed> {
    let body = Body::<()>::Control(Bytes::copy_from_slice(bytes));
    Frame { stamp: Stamp::new(Generation(1), 1), body }.kind()
}

fn stamps() -> [(&'static str, Stamp); 3] {
    [
        ("first", Stamp::new(Generation(1), 1)),
        ("outside-the-count", Stamp::new(Generation(300), 0)),
        ("longest", Stamp::new(Generation(u64::MAX), u64::MAX)),
    ]
}

#[test]
fn a_control_frame_of_version_1_is_read_as_what_it_was_by_those_who_look_and_by_no_node() {
    for (name, kind_then) in first() {
        let bytes = read(&format!("control-1/{name}.bin"));
        assert_eq!(kind(&bytes), Ok(kind_then), "{name}");
        let error = Control::decode(&bytes).expect_err(name);
        assert_eq!(error, Malformed::new("a control frame of an unknown version"));
        assert_eq!(Control::greeting(&bytes), None, "{name}: it names no generation");
        for cut in truncations(&bytes) {
            assert!(kind(cut).is_err(), "{name} cut to {}", cut.len());
        }
    }
}

#[test]
fn what_came_with_version_2_is_unknown_in_version_1() {
    for name in ["ask", "grant", "aborted-store-behind"] {
        let mut bytes = read(&format!("control-2/{name}.bin"));
        bytes[0] = 1;
        assert!(kind(&bytes).is_err(), "{name}");
    }
}

#[test]
fn a_control_frame_of_version_2_is_read_as_what_it_was() {
    for (name, frame) in frames() {
        let bytes = read(&format!("control-2/{name}.bin"));
        let nonce = if let Control::Hello { nonce } = frame { Some(nonce) } else { None };
        assert_eq!(Control::greeting(&bytes), nonce, "{name}");
        assert_eq!(Control::decode(&bytes), Ok(frame));
        assert!(kind(&bytes).is_ok(), "{name}");
    }
}

#[test]
fn a_control_frame_is_written_as_ever() {
    for (name, frame) in frames() {
        let today = frame.encode();
        check(&format!("control-{}/{name}.bin", today[0]), &today);
    }
}

#[test]
fn a_stamp_of_version_0_is_read_as_what_it_was() {
    for (name, stamp) in stamps() {
        assert_eq!(Stamp::from_bytes(&read(&format!("stamp-0/{name}.bin"))), Ok(stamp));
    }
}

#[test]
fn a_stamp_is_written_as_ever() {
    for (name, stamp) in stamps() {
        let today = stamp.to_bytes();
        check(&format!("stamp-{}/{name}.bin", today[0]), &today);
    }
}

#[test]
fn control_frames_and_stamps_that_are_cut_short_or_too_long_are_refused() {
    for (name, _) in frames() {
        let bytes = read(&format!("control-2/{name}.bin"));
        for cut in truncations(&bytes) {
            assert!(Control::decode(cut).is_err(), "{name} cut to {}", cut.len());
        }
        assert!(Control::decode(&[&bytes[..], &[0]].concat()).is_err(), "{name} and a byte");
    }
    for (name, _) in stamps() {
        for cut in truncations(&read(&format!("stamp-0/{name}.bin"))) {
            assert!(Stamp::from_bytes(cut).is_err(), "{name} cut to {}", cut.len());
        }
    }
}

#[test]
fn a_flipped_bit_makes_another_frame_or_none_and_never_a_second_form_of_one() {
    for (name, frame) in frames() {
        for (bit, flipped) in flips(&read(&format!("control-2/{name}.bin"))) {
            match Control::decode(&flipped) {
                Ok(found) => {
                    assert_ne!(found, frame, "bit {bit} of {name}");
                    assert_eq!(found.encode(), flipped, "bit {bit} of {name}");
                    assert!(bit >= 8, "another version of {name} is not known");
                }
                Err(error) => assert!(error.to_string().starts_with("malformed bytes: "), "{error}"),
            }
        }
    }
    for (name, stamp) in stamps() {
        for (bit, flipped) in flips(&read(&format!("stamp-0/{name}.bin"))) {
            if let Ok(found) = Stamp::from_bytes(&flipped) {
                assert_ne!(found, stamp, "bit {bit} of {name}");
                assert_eq!(&found.to_bytes()[..], flipped, "bit {bit} of {name}");
                assert!(bit >= 8, "another version of {name} is not known");
            }
        }
    }
}
