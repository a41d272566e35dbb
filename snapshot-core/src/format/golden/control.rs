//! Control frames, and stamps.

use std::time::Duration;

use super::{check, flips, read, truncations};
use crate::format::control::{Control, Receipt};
use crate::vocabulary::frame::Stamp;
use crate::vocabulary::id::{Generation, NodeId, SnapshotId, Turn};
use crate::vocabulary::outcome::AbortReason;

/// One control frame of each kind, by the name of its file: the values that version 1 must always mean.
fn frames() -> [(&'static str, Control); 12] {
    let snapshot = SnapshotId { generation: Generation(2), sequence: 300, initiator: NodeId(u64::MAX) };
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
    let store_failed = AbortReason::StoreFailed { error: "no space, schöne Grüße".to_owned() };
    [
        ("hello", Control::Hello),
        ("marker", Control::Marker { snapshot }),
        ("receipt", Control::Receipt(receipt)),
        ("committed", Control::Committed { snapshot, index: 128 }),
        ("aborted-deadline", aborted(AbortReason::Deadline)),
        ("aborted-recording-full", aborted(AbortReason::RecordingFull)),
        ("aborted-too-many", aborted(AbortReason::TooMany)),
        ("aborted-peer-lost", aborted(AbortReason::PeerLost { peer: NodeId(200) })),
        ("aborted-store-failed", aborted(store_failed)),
        ("aborted-requested", aborted(AbortReason::Requested)),
        ("aborted-rolled-back", aborted(AbortReason::RolledBack)),
        ("aborted-superseded", aborted(AbortReason::Superseded)),
    ]
}

fn stamps() -> [(&'static str, Stamp); 3] {
    [
        ("first", Stamp::new(Generation(1), 1)),
        ("outside-the-count", Stamp::new(Generation(300), 0)),
        ("longest", Stamp::new(Generation(u64::MAX), u64::MAX)),
    ]
}

#[test]
fn a_control_frame_of_version_1_is_read_as_what_it_was() {
    for (name, frame) in frames() {
        assert_eq!(Control::decode(&read(&format!("control-1/{name}.bin"))), Ok(frame));
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
        let bytes = read(&format!("control-1/{name}.bin"));
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
        for (bit, flipped) in flips(&read(&format!("control-1/{name}.bin"))) {
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
