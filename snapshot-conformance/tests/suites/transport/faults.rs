//! What implementors get wrong.

use std::time::Duration;

/// One way to break the contract. Grouped by the clause that it breaks first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    None,

    // T1
    /// Control frames go first.
    ControlOvertakes,
    /// Messages are sent when there is nothing small left.
    LargeOnesLast,
    /// What a `recv` finds is handed out from the back.
    NewestFirst,
    /// Frames are put into the order of their numbers, which are not the transport's business.
    SortsByNumber,
    /// Each second batch goes out before the one that was sent before it.
    SwapsBatches,
    /// What came first waits for what came after it.
    SwapsReads,
    /// What did not fit goes behind what did not fit either.
    ReordersUnderPressure,

    // T2
    DropsTheLastOfABatch,
    RepeatsNowAndThen,
    /// One bit of every thousandth body.
    FlipsABit,
    /// A length of 16 bits.
    CutsLongMessages,
    /// Numbers of 32 bits.
    CutsNumbers,
    /// Numbers that have been a double, as in some JSON.
    RoundsNumbers,
    /// A control frame without bytes is taken for none.
    LosesEmptyControl,
    /// Of frames with the same stamp only the first arrives.
    DropsEqualStamps,
    /// A full channel drops what does not fit.
    DropsWhatDoesNotFit,
    /// What did not fit at once is begun anew, with a frame that had gone.
    RepeatsUnderPressure,
    /// More is read than there is room for, and the rest is forgotten.
    DropsWhatHasNoRoom,
    /// A counter of 16 bits, whose last value means nothing.
    CountsIn16Bits,
    /// Sends to several share a buffer.
    MixesUpSends,
    /// The first frame after a reconnect is taken for a part of the greeting.
    LosesTheFirstOfANewConnection,
    /// A connection is made anew, and nobody is told.
    HidesReconnects,
    /// What nobody takes for a second is thrown away.
    ExpiresInASecond,
    ExpiresInFiveSeconds,
    /// All frames are said to come from one neighbour.
    NamesTheWrongSender,

    // T3
    /// All there is, whatever the room.
    IgnoresTheRoom,
    /// Two at least.
    PushesOneTooMany,
    /// Looks at the inbox's length and not at its room.
    EmptiesTheInbox,
    /// Ready as soon as there is something in the inbox, whoever put it there.
    ReadyWithAFullInbox,
    /// Only frames are counted.
    NewsNeedsNoRoom,
    /// A queue without a bound.
    UnboundedQueue,
    /// Only messages are counted.
    ControlHasNoBound,

    // T4
    /// One `send` at a time, to whomever.
    OneSendAtATime,
    /// A `send` to a peer that is not connected is an error.
    FailsWhenNotConnected,
    /// A `send` to a peer that is not connected is thrown away.
    DropsWhenNotConnected,
    /// A `send` to a peer that is not connected is kept, however much it is.
    KeepsAllWhenNotConnected,
    /// A `send` to a peer that is not connected waits, and goes on waiting when it is.
    WaitsInVain,
    /// A `send` to a peer that said goodbye is an error.
    FailsWhenLeft,
    /// A `send` to a peer that said goodbye is thrown away.
    DropsWhenLeft,
    /// What is under way to all together has a bound.
    OnePoolForAll,
    /// A `send` that has waited for a second is an error.
    SendFailsInASecond,
    SendFailsInFiveSeconds,
    /// Nothing is received until all are connected.
    WaitsForEverybody,

    // T5
    /// A lock held by `send` and by `recv` while they wait.
    OneLock,
    /// While a `send` waits nothing is received.
    SendStopsRecv,
    /// While a `recv` waits, nothing is sent; it gives way only when it has something.
    RecvStopsSend,
    /// The waker of whoever asked last, for all.
    OneWaker,
    /// The waker of whoever asked first, though another asks now.
    KeepsTheFirstWaker,

    // T6
    /// The last frame goes out with the next `send`.
    KeepsTheLast,
    /// Small batches are gathered.
    GathersEight,
    /// What is left goes out with the next `recv`.
    FlushesInRecv,
    /// Control frames travel with the next message.
    ControlWithTheNextMessage,
    /// Ready with half of it taken.
    TakesHalf,

    // T7
    NoUp,
    /// Only reconnects are told.
    NoFirstUp,
    /// Connections are made when there is something to send.
    UpOnlyWhenUsed,
    UpTwice,
    UpAfterTheFirstFrame,
    /// The sender's side of a one-way channel is not told.
    UpOnlyForReceivers,
    /// The last frame of an old connection comes on the new one.
    StaleFrames,
    NoLost,
    LeftForADeath,
    LostForAGoodbye,
    /// The connection of who said goodbye is closed, and that is told as well.
    LeftAndThenLost,
    /// What was not taken when the goodbye came is dropped.
    AGoodbyeDropsTheBacklog,
    /// A connection that was made anew is told at one end.
    HidesCutsFromOneEnd,
    /// The last frame of the old connection is sent on the new one as well.
    ResendsOnANewConnection,
    /// Lost and connected again without end.
    FlapsForEver,
    /// A loss is told over and over while the peer is gone.
    LostOverAndOver,
    /// A peer that was never there is told as lost.
    LostBeforeUp,
    /// With one peer all are lost, and connected again.
    AllAreLost,

    // T8
    /// When all peers are gone, that is taken for the end.
    EndsWhenAllAreGone,
    /// When one peer has said goodbye, that is taken for the end.
    EndsAtAGoodbye,
    /// Nobody is there yet, and that is taken for the end.
    EndsBeforeTheFirst,
    /// Ready when there is nothing at the moment.
    DoesNotWait,
    /// A wake-up in vain is taken for the end.
    EndsNowAndThen,
    /// After one's own `close` a `recv` waits for ever.
    NeverEnds,
    /// After one's own `close` a `recv` is an error.
    EndsWithAnError,
    /// Two seconds of silence are an error.
    SilenceIsAnError,
    /// Five seconds of silence are taken for the end.
    SilenceIsTheEnd,
    CloseWaitsForEver,
    CloseFails,
    /// The end is told once.
    EndsOnce,
    /// Something is told after the end.
    GoesOnAfterTheEnd,

    // Not of one clause
    /// A call waits on its thread and not as a future.
    RecvBlocks,
    SendBlocks,
    CloseBlocks,
    DropBlocks,
    PanicsInSend,
}

impl Fault {
    /// These receive more at a time than they are asked for.
    pub(crate) const THAT_READ_AHEAD: [Self; 5] = [
        Self::IgnoresTheRoom,
        Self::StaleFrames,
        Self::NewsNeedsNoRoom,
        Self::DropsWhatHasNoRoom,
        Self::AGoodbyeDropsTheBacklog,
    ];

    /// How long it waits until it gives up.
    pub(crate) fn patience(self) -> Option<Duration> {
        let seconds = match self {
            Self::ExpiresInASecond | Self::SendFailsInASecond => 1,
            Self::SilenceIsAnError => 2,
            Self::ExpiresInFiveSeconds | Self::SendFailsInFiveSeconds | Self::SilenceIsTheEnd => 5,
            _ => return None,
        };
        Some(Duration::from_secs(seconds))
    }

    /// These wait for what does not come, or do something without end.
    pub(crate) const THAT_STOP_OR_GO_ON: [Self; 10] = [
        Self::WaitsInVain,
        Self::WaitsForEverybody,
        Self::OneLock,
        Self::RecvStopsSend,
        Self::OneWaker,
        Self::KeepsTheFirstWaker,
        Self::FlapsForEver,
        Self::DoesNotWait,
        Self::NeverEnds,
        Self::CloseWaitsForEver,
    ];
}
