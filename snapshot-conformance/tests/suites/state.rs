//! The suite for states can fail: each flaw is caught by the test of the clause that it breaks. States of ours, and of common
//! forms, pass.

mod double;
mod passing;

use std::time::Duration;

use double::{Double, Flaw};
use snapshot_conformance::{StateFixture, state};
use snapshot_core::StateProvider;

/// The flaw is named by its place in `Flaw::ALL`.
struct Broken<const FLAW: usize>;

impl<const FLAW: usize> StateFixture for Broken<FLAW> {
    type State = Double<FLAW>;
    type Seen = Vec<u64>;
    const LIMIT: Duration = Duration::from_secs(if FLAW == 0 { 60 } else { 2 });

    fn new() -> Self {
        Self
    }

    fn state(&self, number: u64) -> Double<FLAW> {
        Double::new(number)
    }

    fn change(&self, state: &mut Double<FLAW>, step: u64) {
        state.change(step);
    }

    fn observe(&self, state: &mut Double<FLAW>) -> Vec<u64> {
        state.show()
    }

    fn earlier(&self) -> Vec<(u32, Vec<u8>, Double<FLAW>)> {
        let mut now = Double::new(3);
        let mut bytes = Vec::new();
        Double::<0>::encode(&Double::<0>::new(3).capture(), &mut bytes).unwrap();
        now.change(0);
        let mut changed = Double::<0>::new(3);
        changed.change(0);
        let mut later = Vec::new();
        Double::<0>::encode(&changed.capture(), &mut later).unwrap();
        vec![(2, later, now), (1, bytes[..bytes.len() - 8].to_vec(), Double::new(3))]
    }
}

macro_rules! caught {
    ($($check:ident $clause:literal: $($flaw:ident)*;)*) => {
        $(mod $check {
            use super::*;

            #[test]
            fn passes_a_state_without_flaws() {
                state::$check::<Broken<0>>().unwrap();
            }

            $(#[test]
            #[expect(non_snake_case, reason = "named after the flaw")]
            fn $flaw() {
                let breach = state::$check::<Broken<{ Flaw::$flaw as usize }>>()
                    .expect_err("a state with this flaw passes");
                assert_eq!(breach.clause(), $clause, "{breach}");
                println!("{breach}");
            })*
        })*

        #[test]
        fn every_flaw_is_tried() {
            let tried = [Flaw::Flawless, $($(Flaw::$flaw,)*)*];
            assert!(Flaw::ALL.iter().all(|flaw| tried.contains(flaw)));
        }
    };
}

caught! {
    p1_capture_has_no_effect "P1": DrainsTheQueue CountsCaptures SettlesFirst TakesBackWhenDropped EncodingCounts
        PanicsTheSecondTime SpoilsLaterChanges;
    p2_captures_are_owned "P2": SharesTheQueue SharesACell HoldsAWeakReference OverwritesEarlierCaptures
        ReadsTheCounterLate SharesWithTheInstalled;
    p3_restored_state_is_the_same "P3": LosesTheLastOne LosesTheCounter ShortensNumbers SortsTheQueue WritesOnlyOnce
        ReadsOnlyOnce PassesOverTheWriter UsesUpTheCapture KeepsNumbersOfThisThread LeavesBytesUnread
        ForgetsHowItGoesOn MisreadsVersion1 CapturesOnlyWhatChanged SharesABuffer;
    p4_install_replaces_all "P4": AddsToTheQueue KeepsTheLargerCounter KeepsWhatIsHidden InstallsOnlyTheFirstTime
        IgnoresEmptyOnes;
    p5_decode_refuses_what_it_does_not_know "P5": ReadsAnyVersion ReadsNewerVersions ReadsVersion0 PanicsOnNewerVersions
        FillsUpWithZeros StopsAtTheEnd PassesOverTheReader PanicsOnShortBytes SwallowsWhatFollows PanicsOnWrongBytes
        BelievesTheLength MultipliesTheLength NothingIsEmpty SpoiledByBadBytes;
}
