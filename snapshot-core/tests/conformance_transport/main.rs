//! The suite for transports, judged itself: it passes what keeps the contract, and finds each fault by the test of the clause
//! that the fault breaks.

mod double;
mod faults;

use double::Doubles;
use faults::Fault;
use snapshot_core::conformance::transport::*;

/// Where nobody comes back, that all are gone is the end.
mod a_transport_whose_processes_do_not_come_again {
    snapshot_core::transport_conformance!(super::Doubles<{ super::Fault::EndsWhenAllAreGone as u8 }, false>);
}

/// Each fault is found by this check, which names this clause.
macro_rules! finds {
    ($($name:ident: $check:ident, $clause:literal, [$($fault:ident)*];)*) => {
        $(#[test]
        fn $name() {
            let mut wrong = Vec::new();
            $(match $check::<Doubles<{ Fault::$fault as u8 }>>() {
                Err(breach) if breach.clause() == $clause => println!("{:?}: {breach}", Fault::$fault),
                Err(breach) => wrong.push(format!("{:?} is told as: {breach}", Fault::$fault)),
                Ok(()) => wrong.push(format!("{:?} is not found", Fault::$fault)),
            })*
            assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        })*
    };
}

mod a_transport_without_fault {
    snapshot_core::transport_conformance!(super::Doubles<{ super::Fault::None as u8 }>);
}

finds! {
    t1_finds_what_changes_the_order: t1_order, "T1",
        [ControlOvertakes LargeOnesLast NewestFirst SortsByNumber ReordersUnderPressure];
    t2_finds_what_loses_repeats_and_changes: t2_nothing_lost_repeated_or_changed, "T2",
        [DropsTheLastOfABatch RepeatsNowAndThen FlipsABit CutsLongMessages CutsNumbers LosesEmptyControl
         DropsEqualStamps DropsWhatDoesNotFit HidesReconnects NamesTheWrongSender DropsWhenNotConnected];
    t3_finds_what_has_no_bound: t3_bounded, "T3",
        [IgnoresTheRoom PushesOneTooMany EmptiesTheInbox NewsNeedsNoRoom UnboundedQueue];
    t4_finds_what_delays_others: t4_a_slow_peer_delays_only_itself, "T4",
        [OneSendAtATime FailsWhenNotConnected DropsWhenNotConnected KeepsAllWhenNotConnected UnboundedQueue];
    t4_finds_that_all_wait_for_one: t4_a_slow_peer_delays_only_itself, "T7", [WaitsForEverybody];
    t5_finds_what_waits_for_the_other: t5_send_and_recv_side_by_side, "T5",
        [OneLock SendStopsRecv RecvStopsSend OneWaker OneSendAtATime];
    t6_finds_what_stays_behind: t6_ready_is_handed_on, "T6",
        [KeepsTheLast GathersEight FlushesInRecv ControlWithTheNextMessage TakesHalf];
    t7_finds_what_is_told_wrong_of_connections: t7_connections_are_told, "T7",
        [NoUp UpTwice UpAfterTheFirstFrame UpOnlyForReceivers StaleFrames NoLost LeftForADeath LostForAGoodbye
         LostOverAndOver LostBeforeUp AllAreLost];
    t8_finds_what_is_no_end_and_an_end_that_is_none: t8_clean_end, "T8",
        [EndsWhenAllAreGone EndsAtAGoodbye EndsBeforeTheFirst DoesNotWait EndsNowAndThen NeverEnds EndsWithAnError EndsOnce
         GoesOnAfterTheEnd];
    a_call_that_blocks_its_thread_does_not_hang_the_suite: t1_order, "T1", [BlocksItsThread];
    a_panic_is_told_as_a_breach: t1_order, "T1", [PanicsInSend];
}
