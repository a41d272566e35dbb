//! snapshot-core over TCP.
