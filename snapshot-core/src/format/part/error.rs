//! What can be wrong with a stored part, and what to do about it.

use thiserror::Error;

use crate::contract::state::UnknownVersion;
use crate::vocabulary::id::NodeId;
use crate::vocabulary::id::names;
use crate::vocabulary::key::Key;
use crate::vocabulary::malformed::Malformed;

/// A part, or an initial state, that cannot be used. Names the object in the store, and says what to do.
///
/// ```
/// use snapshot_core::{Generation, Key, NodeId, PartError, SnapshotId};
/// let snapshot = SnapshotId { generation: Generation(1), sequence: 4, initiator: NodeId(1) };
/// let error = PartError::Missing { key: Key::Part { snapshot, node: NodeId(2) } };
/// assert!(error.is_damage());
/// assert!(error.to_string().contains("fall_back(true)"));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Error)]
#[non_exhaustive]
pub enum PartError {
    /// There is no such object.
    #[error("{key} is missing from the store: {}", restore(.key))]
    Missing {
        /// The object.
        key: Key,
    },
    /// It ends too early.
    #[error("{key} is cut short: {}", restore(.key))]
    Truncated {
        /// The object.
        key: Key,
    },
    /// Its bytes are not those that were written.
    #[error("{key} is damaged ({error}): {}", restore(.key))]
    Corrupt {
        /// The object.
        key: Key,
        /// What is wrong with them.
        error: Malformed,
    },
    /// It is whole, but the commit record describes another.
    #[error("{key} is whole, but not the object that was committed: {}", restore(.key))]
    NotTheCommitted {
        /// The object.
        key: Key,
    },
    /// It is whole, but was written under another key.
    #[error("{key} holds what was written as {found}: {}", restore(.key))]
    Misplaced {
        /// The object.
        key: Key,
        /// The key that it was written under.
        found: Key,
    },
    /// It is of another group.
    #[error(
        "{key} is of the group '{stored}', and this one is '{ours}': put the object of this group in its place; \
         or {}",
        restore(.key)
    )]
    OtherGroup {
        /// The object.
        key: Key,
        /// The group that it belongs to.
        stored: String,
        /// The group that reads it.
        ours: String,
    },
    /// It is of a group with other members.
    #[error(
        "{key} is of a group with the members {}, and this one has {}: put the object of this group in its place; \
         or {}",
        names(.stored),
        names(.ours),
        restore(.key)
    )]
    OtherMembers {
        /// The object.
        key: Key,
        /// The members that it names.
        stored: Vec<NodeId>,
        /// The members of the group that reads it.
        ours: Vec<NodeId>,
    },
    /// Its form is not known here.
    #[error(
        "{key} was written by a newer release (format {found}, this one reads up to {known}): \
         run that release on every node"
    )]
    NewerFormat {
        /// The object.
        key: Key,
        /// The version of its form.
        found: u8,
        /// The newest version that this release reads.
        known: u8,
    },
    /// It is undamaged, but the state in it is of a version that this release of the application does not read.
    #[error("{} is undamaged, and cannot be used here: {version}", whose(.key))]
    StateVersion {
        /// The object.
        key: Key,
        /// Which version it is of, which one is read, and what to do.
        version: UnknownVersion,
    },
    /// It is undamaged, but the application does not understand the state in it.
    #[error(
        "{} is undamaged, but the state in it, of version {version}, does not decode: {error}; \
         run the release of the application that wrote it, or teach this one its form: a changed type needs another `VERSION`, \
         and `decode` (of a `PostcardState`: `migrate`) for those before it",
        whose(.key)
    )]
    State {
        /// The object.
        key: Key,
        /// The `VERSION` of the state that was written.
        version: u32,
        /// What `decode` said.
        error: String,
    },
    /// It is undamaged, but the application does not understand a message in it.
    #[error(
        "{} is undamaged, but a message from {sender} in it does not decode: {error}; \
         run the release of the application that wrote it, or teach the codec this form",
        whose(.key)
    )]
    Message {
        /// The object.
        key: Key,
        /// Who sent the message.
        sender: NodeId,
        /// What the codec said.
        error: String,
    },
    /// The store gave no bytes. They may be there, undamaged.
    #[error("{key} cannot be read: {error}; see that the store works, and try again")]
    Unreadable {
        /// The object.
        key: Key,
        /// What the store said.
        error: String,
    },
}

impl PartError {
    /// Whether the object is not what it should be, so that a copy of it, or an older snapshot, would help. Not so where it is
    /// undamaged and not understood, and where the store gave no bytes for now.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Missing { .. }
            | Self::Truncated { .. }
            | Self::Corrupt { .. }
            | Self::NotTheCommitted { .. }
            | Self::Misplaced { .. }
            | Self::OtherGroup { .. }
            | Self::OtherMembers { .. } => true,
            Self::NewerFormat { .. }
            | Self::StateVersion { .. }
            | Self::State { .. }
            | Self::Message { .. }
            | Self::Unreadable { .. } => false,
        }
    }

    /// The object.
    pub fn key(&self) -> Key {
        match self {
            Self::Missing { key }
            | Self::Truncated { key }
            | Self::Corrupt { key, .. }
            | Self::NotTheCommitted { key }
            | Self::Misplaced { key, .. }
            | Self::OtherGroup { key, .. }
            | Self::OtherMembers { key, .. }
            | Self::NewerFormat { key, .. }
            | Self::StateVersion { key, .. }
            | Self::State { key, .. }
            | Self::Message { key, .. }
            | Self::Unreadable { key, .. } => *key,
        }
    }
}

fn restore(key: &Key) -> &'static str {
    match key {
        Key::Initial(_) => "restore the object from a copy; there is nothing older to go back to",
        Key::Evidence { .. } => {
            "restore the object from a copy; retention has let go of what it was copied from"
        }
        _ => {
            "restore the object from a copy, or allow the group to go back to an older snapshot \
             with `fall_back(true)` on the builder"
        }
    }
}

/// Node and snapshot in words, then the name in the store.
fn whose(key: &Key) -> String {
    match key {
        Key::Part { snapshot, node } | Key::Evidence { snapshot, node } => {
            format!("the part of {node} in snapshot {snapshot} ({key})")
        }
        Key::Initial(node) => format!("the initial state of {node} ({key})"),
        Key::Journal(_) | Key::Seat { .. } => key.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_object_and_says_whether_another_copy_would_help() {
        let key = Key::Initial(NodeId(7));
        let (none, text) = (Vec::new(), String::new());
        let version = UnknownVersion { found: 3, known: 2 };
        let damage = [
            PartError::Missing { key },
            PartError::Truncated { key },
            PartError::Corrupt { key, error: Malformed::new("a checksum") },
            PartError::NotTheCommitted { key },
            PartError::Misplaced { key, found: Key::Journal(1) },
            PartError::OtherGroup { key, stored: text.clone(), ours: text.clone() },
            PartError::OtherMembers { key, stored: none.clone(), ours: none },
        ];
        let undamaged = [
            PartError::NewerFormat { key, found: 2, known: 1 },
            PartError::StateVersion { key, version },
            PartError::State { key, version: 1, error: text.clone() },
            PartError::Message { key, sender: NodeId(1), error: text.clone() },
            PartError::Unreadable { key, error: text },
        ];
        for (errors, is_damage) in [(&damage[..], true), (&undamaged, false)] {
            for error in errors {
                assert_eq!((error.key(), error.is_damage()), (key, is_damage), "{error}");
                assert!(error.to_string().contains(&key.to_string()), "{error}");
            }
        }
    }
}
