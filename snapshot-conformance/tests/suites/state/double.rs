//! A state that is what the contract says, but for one flaw: a queue of numbers, a counter, and a number that only shows in what
//! changes do.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use snapshot_core::{StateProvider, UnknownVersion};

macro_rules! flaws {
    ($($flaw:ident)*) => {
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum Flaw { $($flaw),* }

        impl Flaw {
            pub(crate) const ALL: &[Self] = &[$(Self::$flaw),*];
        }
    };
}

flaws! {
    Flawless
    DrainsTheQueue CountsCaptures SettlesFirst TakesBackWhenDropped EncodingCounts PanicsTheSecondTime SpoilsLaterChanges
    SharesTheQueue SharesACell HoldsAWeakReference OverwritesEarlierCaptures ReadsTheCounterLate SharesWithTheInstalled
    LosesTheLastOne LosesTheCounter ShortensNumbers SortsTheQueue WritesOnlyOnce ReadsOnlyOnce PassesOverTheWriter
    UsesUpTheCapture KeepsNumbersOfThisThread LeavesBytesUnread ForgetsHowItGoesOn MisreadsVersion1 CapturesOnlyWhatChanged
    SharesABuffer
    AddsToTheQueue KeepsTheLargerCounter KeepsWhatIsHidden InstallsOnlyTheFirstTime IgnoresEmptyOnes
    ReadsAnyVersion ReadsNewerVersions ReadsVersion0 PanicsOnNewerVersions FillsUpWithZeros StopsAtTheEnd PassesOverTheReader
    PanicsOnShortBytes SwallowsWhatFollows PanicsOnWrongBytes BelievesTheLength MultipliesTheLength NothingIsEmpty
    SpoiledByBadBytes
}

use Flaw::*;

pub(crate) struct Double<const FLAW: usize> {
    queue: Arc<Mutex<Vec<u64>>>,
    counter: Arc<AtomicU64>,
    hidden: u64,
    captures: u64,
    installs: u64,
    /// Where some flaws keep the one capture that they have.
    only: Arc<Mutex<Vec<u64>>>,
}

pub(crate) struct Captured {
    queue: Queue,
    counter: Counter,
    hidden: u64,
    on_drop: Option<Arc<Mutex<Vec<u64>>>>,
    encoded: AtomicU64,
}

enum Queue {
    Owned(Vec<u64>),
    Shared(Arc<Mutex<Vec<u64>>>),
    Weak(Weak<Mutex<Vec<u64>>>),
}

enum Counter {
    Owned(u64),
    Shared(Arc<AtomicU64>),
}

impl Drop for Captured {
    fn drop(&mut self) {
        if let Some(queue) = &self.on_drop {
            queue.lock().unwrap().pop();
        }
    }
}

impl Captured {
    fn queue(&self) -> Vec<u64> {
        match &self.queue {
            Queue::Owned(queue) => queue.clone(),
            Queue::Shared(queue) => queue.lock().unwrap().clone(),
            Queue::Weak(queue) => {
                queue.upgrade().map(|queue| queue.lock().unwrap().clone()).unwrap_or_default()
            }
        }
    }

    fn counter(&self) -> u64 {
        match &self.counter {
            Counter::Owned(counter) => *counter,
            Counter::Shared(counter) => counter.load(Ordering::SeqCst),
        }
    }
}

thread_local! {
    static OFFSET: Cell<u64> = const { Cell::new(0) };
    /// Of one flaw: how many bytes strings were not understood.
    static REFUSED: Cell<u64> = const { Cell::new(0) };
}

/// Of one flaw: where all captures are encoded.
static BUFFER: Mutex<Vec<u8>> = Mutex::new(Vec::new());

static THREADS: AtomicU64 = AtomicU64::new(1);

/// Another number on each thread.
fn offset() -> u64 {
    OFFSET.with(|offset| {
        if offset.get() == 0 {
            offset.set(THREADS.fetch_add(1, Ordering::SeqCst));
        }
        offset.get()
    })
}

impl<const FLAW: usize> Double<FLAW> {
    const FLAW: Flaw = Flaw::ALL[FLAW];

    pub(crate) fn new(number: u64) -> Self {
        let queue = (0..number * 3).map(|n| (n + 7) << (n % 40)).collect();
        Self {
            queue: Arc::new(Mutex::new(queue)),
            counter: Arc::new(AtomicU64::new(number << 33)),
            hidden: number,
            captures: 0,
            installs: 0,
            only: Arc::default(),
        }
    }

    pub(crate) fn change(&mut self, step: u64) {
        let mut queue = self.queue.lock().unwrap();
        if step % 3 == 2 && !queue.is_empty() {
            queue.remove(0);
        }
        if Self::FLAW == SpoilsLaterChanges && self.captures > 0 && step > 8 {
            self.hidden = 0;
        }
        queue.push(step.wrapping_mul(0x9e37_79b9) ^ self.hidden << 40);
        if step % 4 == 3 {
            self.hidden = self.hidden.wrapping_mul(31).wrapping_add(step);
        }
        self.counter.fetch_add(step + 1, Ordering::SeqCst);
    }

    /// The hidden number is not shown.
    pub(crate) fn show(&self) -> Vec<u64> {
        let mut seen = self.queue.lock().unwrap().clone();
        seen.push(self.counter.load(Ordering::SeqCst));
        seen
    }
}

impl<const FLAW: usize> StateProvider for Double<FLAW> {
    type Captured = Captured;
    const VERSION: u32 = 2;

    fn capture(&mut self) -> Captured {
        self.captures += 1;
        let owned = self.queue.lock().unwrap().clone();
        let counter = self.counter.load(Ordering::SeqCst);
        match Self::FLAW {
            DrainsTheQueue => self.queue.lock().unwrap().clear(),
            CountsCaptures => drop(self.counter.fetch_add(1, Ordering::SeqCst)),
            SettlesFirst => self.queue.lock().unwrap().sort_unstable(),
            PanicsTheSecondTime => assert!(self.captures < 2, "a snapshot is running"),
            OverwritesEarlierCaptures => *self.only.lock().unwrap() = owned.clone(),
            _ => {}
        }
        let queue = match Self::FLAW {
            SharesTheQueue => Queue::Shared(Arc::clone(&self.queue)),
            SharesWithTheInstalled => {
                // While nothing changes, one copy is enough for all captures.
                if *self.only.lock().unwrap() != owned {
                    self.only = Arc::new(Mutex::new(owned));
                }
                Queue::Shared(Arc::clone(&self.only))
            }
            OverwritesEarlierCaptures => Queue::Shared(Arc::clone(&self.only)),
            CapturesOnlyWhatChanged if self.captures > 1 => {
                let before = std::mem::replace(&mut *self.only.lock().unwrap(), owned.clone());
                Queue::Owned(owned.strip_prefix(&before[..]).map(<[u64]>::to_vec).unwrap_or(owned))
            }
            CapturesOnlyWhatChanged => {
                *self.only.lock().unwrap() = owned.clone();
                Queue::Owned(owned)
            }
            HoldsAWeakReference => {
                // A copy is made when the state next changes; who drops it forgets that.
                let copy = Arc::new(Mutex::new(owned));
                self.only = Arc::clone(&copy);
                Queue::Weak(Arc::downgrade(&copy))
            }
            _ => Queue::Owned(owned),
        };
        let shared = matches!(Self::FLAW, SharesACell | EncodingCounts | ReadsTheCounterLate);
        let counter =
            if shared { Counter::Shared(Arc::clone(&self.counter)) } else { Counter::Owned(counter) };
        let on_drop = (Self::FLAW == TakesBackWhenDropped).then(|| Arc::clone(&self.queue));
        Captured { queue, counter, hidden: self.hidden, on_drop, encoded: AtomicU64::new(0) }
    }

    fn install(&mut self, captured: Captured) {
        self.installs += 1;
        let (queue, counter) = (captured.queue(), captured.counter());
        if Self::FLAW == CapturesOnlyWhatChanged {
            self.captures = 0;
        }
        match Self::FLAW {
            InstallsOnlyTheFirstTime if self.installs > 1 => return,
            IgnoresEmptyOnes if queue.is_empty() => {}
            AddsToTheQueue => {
                let mut ours = self.queue.lock().unwrap();
                let new: Vec<u64> = queue.into_iter().filter(|number| !ours.contains(number)).collect();
                ours.extend(new);
            }
            SharesWithTheInstalled => {
                if let Queue::Shared(queue) = &captured.queue {
                    self.queue = Arc::clone(queue);
                    self.only = Arc::default();
                }
            }
            _ => self.queue = Arc::new(Mutex::new(queue)),
        }
        let ours = self.counter.load(Ordering::SeqCst);
        let counter = if Self::FLAW == KeepsTheLargerCounter { counter.max(ours) } else { counter };
        // In the same place: whoever shares it, sees it.
        self.counter.store(counter, Ordering::SeqCst);
        if Self::FLAW != KeepsWhatIsHidden {
            self.hidden = captured.hidden;
        }
    }

    fn encode(captured: &Captured, out: &mut dyn Write) -> io::Result<()> {
        let mut queue = captured.queue();
        let mut counter = captured.counter();
        let before = captured.encoded.fetch_add(1, Ordering::SeqCst);
        match Self::FLAW {
            EncodingCounts => {
                if let Counter::Shared(counter) = &captured.counter {
                    counter.fetch_add(1, Ordering::SeqCst);
                }
            }
            LosesTheLastOne => drop(queue.pop()),
            LosesTheCounter => counter = 0,
            ShortensNumbers => queue.iter_mut().for_each(|number| *number = u64::from(*number as u32)),
            SortsTheQueue => queue.sort_unstable(),
            UsesUpTheCapture if before > 0 => queue.clear(),
            KeepsNumbersOfThisThread => counter = counter.wrapping_add(offset()),
            _ => {}
        }
        let hidden = if Self::FLAW == ForgetsHowItGoesOn { 0 } else { captured.hidden };
        let mut bytes = (queue.len() as u64).to_le_bytes().to_vec();
        queue.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        bytes.extend_from_slice(&counter.to_le_bytes());
        bytes.extend_from_slice(&hidden.to_le_bytes());
        match Self::FLAW {
            #[expect(
                clippy::unused_io_amount,
                reason = "this is the flaw: the rest of the bytes is not written"
            )]
            WritesOnlyOnce => {
                out.write(&bytes)?;
            }
            PassesOverTheWriter => {
                let _ = out.write_all(&bytes);
            }
            SharesABuffer => {
                BUFFER.lock().unwrap().clear();
                for piece in bytes.chunks(8) {
                    BUFFER.lock().unwrap().extend_from_slice(piece);
                    std::thread::yield_now();
                }
                let encoded = BUFFER.lock().unwrap().clone();
                out.write_all(&encoded)?;
            }
            LeavesBytesUnread => {
                out.write_all(&bytes)?;
                out.write_all(b"end")?;
            }
            _ => out.write_all(&bytes)?,
        }
        Ok(())
    }

    fn decode(version: u32, input: &mut dyn Read) -> io::Result<Captured> {
        let decoded = Self::read(version, input);
        if Self::FLAW == SpoiledByBadBytes && decoded.is_err() {
            REFUSED.with(|refused| refused.set(refused.get() + 1));
        }
        decoded
    }
}

impl<const FLAW: usize> Double<FLAW> {
    /// Version 1 had no hidden number: it was 3.
    fn read(version: u32, input: &mut dyn Read) -> io::Result<Captured> {
        let known = match Self::FLAW {
            ReadsAnyVersion => true,
            ReadsNewerVersions => version > 0,
            ReadsVersion0 => version < 3,
            _ => version == 1 || version == 2,
        };
        if !known {
            assert!(Self::FLAW != PanicsOnNewerVersions || version < 2, "version {version} is unknown");
            return Err(UnknownVersion::of::<Self>(version).into());
        }
        let invalid = |what: &str| io::Error::new(ErrorKind::InvalidData, what.to_owned());
        let mut number = || {
            let mut bytes = [0; 8];
            let read = match Self::FLAW {
                ReadsOnlyOnce => input.read(&mut bytes).map(drop),
                FillsUpWithZeros => match input.read_exact(&mut bytes) {
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(()),
                    other => other,
                },
                PassesOverTheReader => {
                    if input
                        .read_exact(&mut bytes)
                        .is_err_and(|error| error.kind() == ErrorKind::UnexpectedEof)
                    {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                    Ok(())
                }
                PanicsOnShortBytes => {
                    input.read_exact(&mut bytes).expect("eight bytes");
                    Ok(())
                }
                _ => input.read_exact(&mut bytes),
            };
            read.map(|()| u64::from_le_bytes(bytes))
        };
        let length = match number() {
            Err(error) if Self::FLAW == NothingIsEmpty && error.kind() == ErrorKind::UnexpectedEof => {
                return Ok(Captured {
                    queue: Queue::Owned(Vec::new()),
                    counter: Counter::Owned(0),
                    hidden: 0,
                    on_drop: None,
                    encoded: AtomicU64::new(0),
                });
            }
            length => length?,
        };
        match Self::FLAW {
            PanicsOnWrongBytes => assert!(length < 1 << 20, "a queue of {length}"),
            MultipliesTheLength => drop(usize::try_from(length).unwrap() * 8),
            FillsUpWithZeros if length > 1000 => return Err(invalid("long")),
            _ => {}
        }
        let mut queue = match Self::FLAW {
            BelievesTheLength if length < 1 << 32 => Vec::with_capacity(length as usize),
            _ => Vec::new(),
        };
        for _ in 0..length {
            match number() {
                Err(error) if Self::FLAW == StopsAtTheEnd && error.kind() == ErrorKind::UnexpectedEof => {
                    break;
                }
                next => queue.push(next?),
            }
            if Self::FLAW == PassesOverTheReader && queue.len() > 10_000 {
                return Err(invalid("long"));
            }
        }
        let or_zero = |number: io::Result<u64>| match number {
            Err(error) if Self::FLAW == StopsAtTheEnd && error.kind() == ErrorKind::UnexpectedEof => Ok(0),
            number => number,
        };
        let mut counter = or_zero(number())?;
        if Self::FLAW == SpoiledByBadBytes && REFUSED.with(Cell::get) > 500 {
            return Err(invalid("no more today"));
        }
        let hidden = match version {
            1 if Self::FLAW == MisreadsVersion1 => 4,
            1 => 3,
            _ => or_zero(number())?,
        };
        match Self::FLAW {
            SwallowsWhatFollows => drop(io::copy(input, &mut io::sink())?),
            KeepsNumbersOfThisThread => counter = counter.wrapping_sub(offset()),
            _ => {}
        }
        let queue = match Self::FLAW {
            SharesWithTheInstalled => Queue::Shared(Arc::new(Mutex::new(queue))),
            _ => Queue::Owned(queue),
        };
        let counter = Counter::Owned(counter);
        Ok(Captured { queue, counter, hidden, on_drop: None, encoded: AtomicU64::new(0) })
    }
}
