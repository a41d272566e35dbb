//! What implementors get wrong.

/// One way to break the contract. Grouped by the clause that it breaks first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
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
    /// A control frame without bytes is taken for none.
    LosesEmptyControl,
    /// Of frames with the same stamp only the first arrives.
    DropsEqualStamps,
    /// A full channel drops what does not fit.
    DropsWhatDoesNotFit,
    /// A connection is made anew, and nobody is told.
    HidesReconnects,
    /// All frames are said to come from one neighbour.
    NamesTheWrongSender,

    // T3
    /// All there is, whatever the room.
    IgnoresTheRoom,
    /// Two at least.
    PushesOneTooMany,
    /// Looks at the inbox's length and not at its room.
    EmptiesTheInbox,
    /// Only frames are counted.
    NewsNeedsNoRoom,
    /// A queue without a bound.
    UnboundedQueue,

    // T4
    /// One `send` at a time, to whomever.
    OneSendAtATime,
    /// A `send` to a peer that is not connected is an error.
    FailsWhenNotConnected,
    /// A `send` to a peer that is not connected is thrown away.
    DropsWhenNotConnected,
    /// A `send` to a peer that is not connected is kept, however much it is.
    KeepsAllWhenNotConnected,
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
    UpTwice,
    UpAfterTheFirstFrame,
    /// The sender's side of a one-way channel is not told.
    UpOnlyForReceivers,
    /// The last frame of an old connection comes on the new one.
    StaleFrames,
    NoLost,
    LeftForADeath,
    LostForAGoodbye,
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
    /// The end is told once.
    EndsOnce,
    /// Something is told after the end.
    GoesOnAfterTheEnd,

    // Not of one clause
    /// `recv` waits on the thread and not as a future.
    BlocksItsThread,
    PanicsInSend,
}
