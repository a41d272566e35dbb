//! The suite for transports, judged itself: it passes what keeps the contract, and finds each fault by the test of the clause
//! that the fault breaks.

mod double;
mod faults;

use std::sync::Mutex;
use std::time::Duration;

use double::{Doubles, Which};
use faults::Fault;
use snapshot_conformance::Breach;
use snapshot_conformance::transport::*;

mod a_transport_without_fault {
    snapshot_conformance::transport!(super::Doubles<super::NoFault>);
}

/// Where nobody comes back, that all are gone is the end.
mod a_transport_whose_processes_do_not_come_again {
    snapshot_conformance::transport!(super::Doubles<super::NobodyComesAgain>);
}

struct NoFault;

impl Which for NoFault {
    fn fault() -> Fault {
        Fault::None
    }
}

struct NobodyComesAgain;

impl Which for NobodyComesAgain {
    const RESTARTS: bool = false;

    fn fault() -> Fault {
        Fault::EndsWhenAllAreGone
    }
}

/// A call of which does not return: `recv`, `send`, `close`, or the drop of the transport.
struct Blocking<const CALL: u8>;

impl<const CALL: u8> Which for Blocking<CALL> {
    const LIMIT: Duration = Duration::from_millis(20);

    fn fault() -> Fault {
        match CALL {
            0 => Fault::RecvBlocks,
            1 => Fault::SendBlocks,
            2 => Fault::CloseBlocks,
            _ => Fault::DropBlocks,
        }
    }
}

/// The fault that was chosen: a type for each would make eight checks for each.
struct Chosen;

static CHOSEN: Mutex<Fault> = Mutex::new(Fault::None);

impl Which for Chosen {
    fn fault() -> Fault {
        *CHOSEN.lock().unwrap()
    }
}

/// What a check says of a fault, one at a time.
fn verdict(check: fn() -> Result<(), Breach>, fault: Fault) -> Result<(), Breach> {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap();
    *CHOSEN.lock().unwrap() = fault;
    check()
}

/// Each fault is found by this check, which names this clause.
macro_rules! finds {
    ($($name:ident: $check:ident, $clause:literal, [$($fault:ident)*];)*) => {
        $(#[test]
        fn $name() {
            let mut wrong = Vec::new();
            for fault in [$(Fault::$fault),*] {
                match verdict($check::<Doubles<Chosen>>, fault) {
                    Err(breach) if breach.clause() == $clause => println!("{fault:?}: {breach}"),
                    Err(breach) => wrong.push(format!("{fault:?} is told as: {breach}")),
                    Ok(()) => wrong.push(format!("{fault:?} is not found")),
                }
            }
            assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        })*
    };
}

finds! {
    t1_finds_what_changes_the_order: t1_order, "T1",
        [ControlOvertakes LargeOnesLast NewestFirst SortsByNumber ReordersUnderPressure
         SwapsBatches SwapsReads];
    t2_finds_what_loses_repeats_and_changes: t2_nothing_lost_repeated_or_changed, "T2",
        [DropsTheLastOfABatch RepeatsNowAndThen FlipsABit CutsLongMessages CutsNumbers RoundsNumbers LosesEmptyControl
         DropsEqualStamps DropsWhatDoesNotFit HidesReconnects NamesTheWrongSender DropsWhenNotConnected
         RepeatsUnderPressure DropsWhatHasNoRoom CountsIn16Bits MixesUpSends LosesTheFirstOfANewConnection WaitsInVain];
    t4_finds_what_expires: t4_a_slow_peer_delays_only_itself, "T2", [ExpiresInASecond ExpiresInFiveSeconds];
    t4_finds_who_is_tired_of_silence: t4_a_slow_peer_delays_only_itself, "T8", [SilenceIsAnError SilenceIsTheEnd];
    t3_finds_what_has_no_bound: t3_bounded, "T3",
        [IgnoresTheRoom PushesOneTooMany EmptiesTheInbox NewsNeedsNoRoom UnboundedQueue ControlHasNoBound];
    t4_finds_what_delays_others: t4_a_slow_peer_delays_only_itself, "T4",
        [OneSendAtATime FailsWhenNotConnected DropsWhenNotConnected KeepsAllWhenNotConnected UnboundedQueue
         WaitsInVain FailsWhenLeft DropsWhenLeft OnePoolForAll SendFailsInASecond SendFailsInFiveSeconds];
    t4_finds_that_all_wait_for_one: t4_a_slow_peer_delays_only_itself, "T7", [WaitsForEverybody];
    t5_finds_what_waits_for_the_other: t5_send_and_recv_side_by_side, "T5",
        [OneLock SendStopsRecv RecvStopsSend OneWaker OneSendAtATime KeepsTheFirstWaker];
    t6_finds_what_stays_behind: t6_ready_is_handed_on, "T6",
        [KeepsTheLast GathersEight FlushesInRecv ControlWithTheNextMessage TakesHalf];
    t7_finds_what_is_told_wrong_of_connections: t7_connections_are_told, "T7",
        [NoUp UpTwice UpAfterTheFirstFrame UpOnlyForReceivers StaleFrames NoLost LeftForADeath LostForAGoodbye
         LostOverAndOver LostBeforeUp AllAreLost NoFirstUp UpOnlyWhenUsed LeftAndThenLost AGoodbyeDropsTheBacklog
         HidesCutsFromOneEnd ResendsOnANewConnection FlapsForEver];
    t8_finds_what_is_no_end_and_an_end_that_is_none: t8_clean_end, "T8",
        [EndsWhenAllAreGone EndsAtAGoodbye EndsBeforeTheFirst DoesNotWait EndsNowAndThen NeverEnds EndsWithAnError EndsOnce
         GoesOnAfterTheEnd CloseWaitsForEver CloseFails];
    a_panic_is_told_as_a_breach: t1_order, "T1", [PanicsInSend];
}

#[test]
fn a_call_that_blocks_its_thread_is_named() {
    let says = |check: Result<(), Breach>, call: &str| {
        let breach = check.unwrap_err();
        let seen = breach.seen();
        let named = seen.starts_with(call) && seen.contains("was begun and has not returned");
        assert!(breach.clause() == "T5" && named && seen.contains("it blocks its thread"), "{breach}");
    };
    says(t1_order::<Doubles<Blocking<0>>>(), "`recv` of n1");
    says(t1_order::<Doubles<Blocking<1>>>(), "`send` of n1 to n2");
    says(t8_clean_end::<Doubles<Blocking<2>>>(), "`close` of n2");
    says(t8_clean_end::<Doubles<Blocking<3>>>(), "the drop of the transport of n1");
}

#[test]
fn a_breach_of_t7_says_at_which_step_and_what_was_told() {
    let breach = verdict(t7_connections_are_told::<Doubles<Chosen>>, Fault::AllAreLost).unwrap_err();
    assert!(breach.seen().contains("; it was told of n3, at the end: "), "{breach}");
    assert!(breach.seen().ends_with("(at: a death to be told)"), "{breach}");
}

#[test]
fn an_inbox_that_was_not_empty_is_named_where_nothing_was_pushed() {
    let breach = verdict(t3_bounded::<Doubles<Chosen>>, Fault::ReadyWithAFullInbox).unwrap_err();
    assert!(breach.seen().contains("nothing pushed (the inbox held 1 before the call)"), "{breach}");
}

/// The fault may be one that a check does not look for, or stop it in a place that nobody thought of.
#[test]
fn no_fault_keeps_a_check_from_its_end() {
    let checks = [
        t1_order::<Doubles<Chosen>>,
        t2_nothing_lost_repeated_or_changed::<Doubles<Chosen>>,
        t3_bounded::<Doubles<Chosen>>,
        t4_a_slow_peer_delays_only_itself::<Doubles<Chosen>>,
        t5_send_and_recv_side_by_side::<Doubles<Chosen>>,
        t6_ready_is_handed_on::<Doubles<Chosen>>,
        t7_connections_are_told::<Doubles<Chosen>>,
        t8_clean_end::<Doubles<Chosen>>,
    ];
    for fault in Fault::THAT_STOP_OR_GO_ON {
        for check in checks {
            if let Err(breach) = verdict(check, fault) {
                assert!(!breach.seen().starts_with("waited"), "{fault:?}: {breach}");
            }
        }
    }
}
