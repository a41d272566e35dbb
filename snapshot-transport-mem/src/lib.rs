//! The in-memory network of snapshot-core: seeded, deterministic, with virtual time.
