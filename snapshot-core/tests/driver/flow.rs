//! Whole nodes whose queues are kept full, and whose applications are as slow as can be: what goes on all the same.

mod commits;
mod support;
