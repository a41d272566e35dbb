//! Durable stores for snapshot-core: a folder, and memory for tests.
