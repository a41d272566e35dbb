//! Records of the journal that cannot be read: passed over where a later one sums them up, and, where the group may fall back, given up
//! at the end.

use std::time::Duration;

use bytes::Bytes;

use super::SnapshotCoordinator;
use super::lane::Asked;
use super::output::Failure;
use super::phase::{Phase, Why};
use crate::format::envelope::RecordError;
use crate::format::record::Record;
use crate::vocabulary::event::Event;
use crate::vocabulary::key::Key;

/// So many records at the end are looked at for one that can be read.
const MAX_TORN: u64 = 64;

impl<M: Clone + 'static, C> SnapshotCoordinator<M, C> {
    /// Of the records at the end of the journal, those from `index` on cannot be read.
    pub(super) fn torn_end(&mut self, end: u64, index: u64, error: RecordError) {
        if self.settings.fall_back && index > 1 && end - index < MAX_TORN {
            self.ask(Asked::Before { end, index, error });
        } else {
            self.fail(Failure::Record { key: Key::Journal(end), error });
        }
    }

    pub(super) fn before_torn(&mut self, end: u64, index: u64, error: RecordError, bytes: &[u8]) {
        match Record::decode(index, bytes) {
            Err(damage) if damage.is_damage() => self.torn_end(end, index, error),
            _ => {
                if let Some(record) = self.decode(index, bytes) {
                    self.go_on_behind(end, record, error);
                    self.read_on();
                }
            }
        }
    }

    /// What stands behind the one that cannot be read.
    pub(super) fn behind_torn(&mut self, now: Duration, torn: u64, error: RecordError, bytes: Option<Bytes>) {
        let Some(bytes) = bytes else {
            let starts = self.phase == Phase::Recovering(Why::Start);
            return match self.lane.last.clone().filter(|_| starts && self.settings.fall_back) {
                Some(last) => {
                    self.go_on_behind(torn, last, error);
                    self.read_on();
                }
                None => self.fail(Failure::Record { key: Key::Journal(torn), error }),
            };
        };
        match Record::decode(torn + 1, &bytes) {
            Err(damage) if damage.is_damage() => self.ask(Asked::Behind { index: torn + 1, error }),
            // Each record sums up all before it.
            _ => {
                if let Some(record) = self.decode(torn + 1, &bytes) {
                    self.learn(now, record);
                }
            }
        }
    }

    /// The next record follows the last one that can be read, at the first index that is free. Whoever reads the journal passes over
    /// what is in between. A snapshot that was committed there is found again, if its parts are whole.
    fn go_on_behind(&mut self, end: u64, last: Record, error: RecordError) {
        let key = Key::Journal(end);
        tracing::error!(me = %self.topology.me(), %key, %error, last = last.index, "goes on before records that cannot be read");
        let error = format!(
            "{key} cannot be read ({error}): the group goes on from what came before it, and what it said is lost"
        );
        self.emit(Event::StoreFailed { error });
        self.lane.last = Some(Record { index: end, ..last });
    }
}
