//! The suite for stores can fail: each flaw is caught by the test of the clause that it breaks, and a store without one passes
//! all tests.

mod double;

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use double::{Disk, Double, Flaw};
use snapshot_conformance::{StoreFixture, store};

/// The flaw is named by its place in `Flaw::ALL`.
struct Broken<const FLAW: usize>(Arc<Mutex<Disk>>);

impl<const FLAW: usize> StoreFixture for Broken<FLAW> {
    type Store = Double;
    const LIMIT: Duration = Duration::from_secs(if FLAW == Flaw::Flawless as usize { 60 } else { 2 });

    fn new() -> Self {
        Self(Arc::default())
    }

    async fn open(&self) -> Double {
        Double::open(Flaw::ALL[FLAW], Arc::clone(&self.0))
    }

    fn crash(&self) -> bool {
        Double::crash(Flaw::ALL[FLAW], &self.0);
        true
    }

    fn outage(&self, begins: bool) -> bool {
        self.0.lock().unwrap().down = begins;
        true
    }
}

macro_rules! caught {
    ($($check:ident: $($flaw:ident)*;)*) => {
        $(mod $check {
            use super::*;

            #[test]
            fn passes_a_store_without_flaws() {
                store::$check::<Broken<{ Flaw::Flawless as usize }>>().unwrap();
            }

            $(#[test]
            #[expect(non_snake_case, reason = "named after the flaw")]
            fn $flaw() {
                let breach = store::$check::<Broken<{ Flaw::$flaw as usize }>>()
                    .expect_err("a store with this flaw passes");
                assert!(stringify!($check).starts_with(&breach.clause().to_lowercase()), "{breach}");
                println!("{breach}");
            })*
        })*

        #[test]
        fn every_flaw_is_tried() {
            let tried = [$($(Flaw::$flaw,)*)*];
            assert!(Flaw::ALL.iter().all(|flaw| *flaw == Flaw::Flawless || tried.contains(flaw)));
        }
    };
}

caught! {
    d1_one_winner: EveryoneWins Overwrites OverwritesAndSaysExists LooksBeforeTheContent LooksAndThenWaits
        LooksAndThenWrites LooksAndThenWritesWhatIsSmall TheSameIsNew NothingIsNoObject KnowsOnlyItsOwn OneTemporaryFile NobodyWins
        ChangesWhatExistsIfContentFails;
    d2_durable: ForgetsWhenClosed ForgetsEmptyObjects SyncsNever ExistsUnsynced ReadsUnsynced StartsAnewWhenOpened;
    d3_whole_or_none: NameFirst WritesInPlace CopiesInPlace CutsLargeObjects LosesTheLastBuffer LosesOfLargePieces
        StoresText ShortensNumbers JoinsDigits LeavesOutTheInitiator MixesKinds InventsObjects CallsTheSinkForNothing
        CutsTheDeletedShort MixesOldAndNew ReadsOneBuffer HalfAfterACrash TrimsZeros UnpacksWhatLooksPacked;
    d4_found_at_once: WritesBehind RemembersWhatWasMissing ExistsTooEarly OthersSeeItLater RemembersTheOldObject
        RemembersDeletions EveryThirdReadIsStale;
    d5_listing: ListsAllGenerations ListsTheDeleted ListsEverything ListsOnePage PassesOverEmptyParts
        ListsGenerationsThatBeginAlike ListsTheFailed ListsTheUnfinished ListsTwice ListsItsOwn FailsToListNothing
        ListsFirstGenerationOnly PagesByOffset PagesByOffsetInOneGo;
    d6_delete: NothingCannotBeDeleted KeepsTheDeleted DeletesTheSnapshot DeletesNodesThatBeginAlike NeverFreesTheKey
        ReadsTheDeletedElsewhere DeletesUntilClosed BringsBackTheOld DeletesOnlyItsOwn
        DeletesThePartOfTheEvidence;
    d7_errors_leave_no_half: LeavesHalfWhenDropped LocksUntilDone RunsOutOfRoom EmptyWhenOutOfReach
        ListsNothingOutOfReach SucceedsOutOfReach DroppedWritesLandLater TakesAnOutageForTheEnd
        KeepsWhatCameBeforeTheOutage;
    d8_failing_closures: KeepsTheFailed PassesOverTheContent TakesItForExisting TakesItForMissing PassesOverTheSink
        EndsAtUnexpectedEnds PoisonedByAPanic KeepsWhatPanicked BurnsTheKey HidesTheFailure;
}
