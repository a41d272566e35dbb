//! How much memory a call takes, as far as the operating system tells.

use std::sync::{Mutex, MutexGuard, TryLockError};
use std::thread;
use std::time::Duration;

use super::Breach;
use super::trial::{Trial, caught};

/// Memory that no small input is in proportion to, in bytes. More than the rest of the process takes at one moment, such as
/// for a new thread.
const MUCH: u64 = 192 << 20;

/// How often it must be seen: once may be the doing of another thread.
const TIMES: usize = 3;

/// One at a time looks at the memory of the process.
static LOOKING: Mutex<()> = Mutex::new(());

/// Whether decoders take more memory than is in proportion to small inputs.
pub(super) struct Memory<'t> {
    trial: &'t Trial,
}

/// The address space of the process, in bytes.
struct Space {
    now: u64,
    most: u64,
}

impl<'t> Memory<'t> {
    pub(super) fn of(trial: &'t Trial) -> Self {
        Self { trial }
    }

    /// Calls `decode` with what `claim` makes of a number of bytes, or of elements, that are promised and never come: one that
    /// can be allocated, and is noticed.
    pub(super) fn promised(
        &self,
        claim: &dyn Fn(u64) -> Vec<u8>,
        decode: &dyn Fn(&[u8]),
        what: &str,
    ) -> Result<(), Breach> {
        let _looking = alone();
        let _filled = fill();
        // How many bytes are taken for each one promised: of an element, as it turns out.
        let mut each = 1;
        for times in 1..=TIMES {
            let Some(before) = space() else { return Ok(()) };
            // The most was reached some time ago, be it by another test. Only what goes beyond it shows.
            let unseen = before.most.saturating_sub(before.now);
            let number = (unseen + MUCH / 3 * 4) / each;
            self.call(&claim(number), decode, what)?;
            let grown = space().map_or(0, |after| after.most.saturating_sub(before.most));
            if grown < MUCH {
                return Ok(());
            }
            each = ((unseen + grown) / number).max(1);
            if times == TIMES {
                return Err(self.trial.broken(format!(
                    "{what} took {} MiB for {} bytes, on the word of a length in them",
                    (unseen + grown) >> 20,
                    claim(number).len()
                )));
            }
        }
        Ok(())
    }

    fn call(&self, bytes: &[u8], decode: &dyn Fn(&[u8]), what: &str) -> Result<(), Breach> {
        caught(|| decode(bytes)).map_err(|panic| {
            self.trial.broken(format!(
                "{what} of {} bytes, with a length in them that promises far more, panicked: {panic}",
                bytes.len()
            ))
        })
    }
}

/// Waits until nobody else looks; but not for ever, since a decoder of theirs may have come to a stand.
fn alone() -> Option<MutexGuard<'static, ()>> {
    for _ in 0..1000 {
        match LOOKING.try_lock() {
            Ok(looking) => return Some(looking),
            Err(TryLockError::Poisoned(looking)) => return Some(looking.into_inner()),
            // A mutex of the standard library cannot be waited for with a limit.
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(1)),
        }
    }
    None
}

/// Address space, reserved and never touched, up to the most that the process ever had: so that a small promise is noticed, and
/// none needs to be so large that the machine cannot keep it. Where it cannot be reserved, larger promises must do.
fn fill() -> Vec<u8> {
    let mut filled = Vec::new();
    let missing = space().map_or(0, |space| space.most.saturating_sub(space.now));
    let _may_be_refused = filled.try_reserve_exact(usize::try_from(missing).unwrap_or(0));
    filled
}

/// What Linux says; elsewhere nothing is known.
fn space() -> Option<Space> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
    };
    Some(Space { now: field("VmSize:")?, most: field("VmPeak:")? })
}
