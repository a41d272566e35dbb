//! Has the disk begin while a large object is still being written: encoding and writing go on at the same time, and the last sync has
//! little left to do.

use std::fs::File;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, Scope, ScopedJoinHandle};

/// A disk that is given so much at a time works at its full speed. Smaller objects see one sync, and no thread.
pub(super) const STRIDE: usize = 16 << 20;

/// Syncs a file from time to time, on a thread of its own that ends with the object.
pub(super) struct Early<'s, 'e> {
    scope: &'s Scope<'s, 'e>,
    file: &'e File,
    /// What was written since the thread was last asked.
    fresh: usize,
    helper: Helper<'s>,
}

enum Helper<'s> {
    None,
    Running {
        asked: SyncSender<()>,
        synced: ScopedJoinHandle<'s, io::Result<()>>,
    },
    /// The system has no thread for it: then all is synced at the end.
    Refused,
}

impl<'s, 'e> Early<'s, 'e> {
    pub(super) fn of(scope: &'s Scope<'s, 'e>, file: &'e File) -> Self {
        Self { scope, file, fresh: 0, helper: Helper::None }
    }

    /// So many bytes more are in the file.
    pub(super) fn wrote(&mut self, count: usize) {
        self.fresh = self.fresh.saturating_add(count);
        if self.fresh < STRIDE {
            return;
        }
        if let Helper::None = self.helper {
            self.helper = self.start();
        }
        // A thread that is still busy with what came before is asked at the next write.
        if let Helper::Running { asked, .. } = &self.helper
            && asked.try_send(()).is_ok()
        {
            self.fresh = 0;
        }
    }

    /// Waits for the thread, and says what it was told: a system may tell each failure only once.
    pub(super) fn finish(self) -> io::Result<()> {
        let Helper::Running { asked, synced } = self.helper else { return Ok(()) };
        drop(asked);
        synced.join().unwrap_or_else(|_| Err(io::Error::other("the thread that syncs has panicked")))
    }

    fn start(&self) -> Helper<'s> {
        let (asked, asks) = sync_channel(0);
        let file = self.file;
        let spawned = Builder::new()
            .name("snapshot-sync".to_owned())
            .spawn_scoped(self.scope, move || run(file, &asks));
        spawned.map_or(Helper::Refused, |synced| Helper::Running { asked, synced })
    }
}

fn run(file: &File, asks: &Receiver<()>) -> io::Result<()> {
    asks.iter().try_for_each(|()| file.sync_data())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_sync_that_failed_on_the_way_is_told_at_the_end() {
        // A pipe takes what is written, and cannot be synced.
        let (_end, pipe) = io::pipe().unwrap();
        let pipe = File::from(std::os::fd::OwnedFd::from(pipe));
        thread::scope(|scope| {
            let mut early = Early::of(scope, &pipe);
            early.wrote(STRIDE - 1);
            assert!(matches!(early.helper, Helper::None), "it is not large yet");
            early.wrote(1);
            // Until the thread is there to be asked.
            while early.fresh >= STRIDE {
                early.wrote(0);
                thread::yield_now();
            }
            early.wrote(3 * STRIDE);
            assert_eq!(early.finish().unwrap_err().kind(), io::ErrorKind::InvalidInput);
        });
    }
}
