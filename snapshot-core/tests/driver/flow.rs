//! Whole nodes whose queues are kept full, and whose applications are as slow as can be: what goes on all the same.

mod commits;
mod ends;
mod pauses;
mod recovery;
mod room;
mod slow_store;
mod steps;
mod support;
mod waits;
