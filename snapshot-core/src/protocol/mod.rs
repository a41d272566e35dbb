//! All rules: of snapshots, of the journal, of recovery.

pub(crate) mod coordinator;
pub(crate) mod journal;
pub(crate) mod settings;
