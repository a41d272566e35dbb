//! The guide: how to use this library, and why it is as it is. Its programs are compiled and run with the tests.
//!
//! To do:
//!
//! | chapter | what it tells |
//! | --- | --- |
//! | [`add_snapshots`] | from an application without snapshots to one that survives `kill -9` |
//! | [`existing_app`] | a whole server before and after, and what is different, step by step |
//! | [`mistakes`] | the ones that everybody makes, beside what is right |
//! | [`write_a_transport`] | carry snapshots over a network of your own, and have it judged |
//! | [`test_in_memory`] | freeze a message, look at the cut, kill everybody; let seeds find the rest |
//! | [`certificates`] | nobody comes in who does not belong: an authority of your own, a certificate for each node, new ones while they run |
//! | [`deploying`] | supervisors, the store, intervals, disks, what to watch, upgrades, backups |
//!
//! To understand:
//!
//! | chapter | what it tells |
//! | --- | --- |
//! | [`recovery`] | what comes back after a crash, exactly once; and what is yours to do: effects, input, clients |
//! | [`why_order_matters`] | a marker overtakes a message, and money is lost |
//! | [`states_that_never_happened`] | what may be concluded from a cut, and what not |
//! | [`large_states`] | captures that take microseconds: copy on write, swapped buffers, streams |
//! | [`how_this_is_tested`] | what is checked, with which command, and what no check shows |
//! | [`questions`] | "why is there no …?", with what to do meanwhile |

#[doc = include_str!("add_snapshots.md")]
pub mod add_snapshots {}

#[doc = include_str!("existing_app.md")]
pub mod existing_app {}

#[doc = include_str!("mistakes.md")]
pub mod mistakes {}

#[doc = include_str!("write_a_transport.md")]
pub mod write_a_transport {}

#[doc = include_str!("test_in_memory.md")]
pub mod test_in_memory {}

#[doc = include_str!("certificates.md")]
pub mod certificates {}

#[doc = include_str!("deploying.md")]
pub mod deploying {}

#[doc = include_str!("recovery.md")]
pub mod recovery {}

#[doc = include_str!("why_order_matters.md")]
pub mod why_order_matters {}

#[doc = include_str!("states_that_never_happened.md")]
pub mod states_that_never_happened {}

#[doc = include_str!("large_states.md")]
pub mod large_states {}

#[doc = include_str!("how_this_is_tested.md")]
pub mod how_this_is_tested {}

#[doc = include_str!("questions.md")]
pub mod questions {}
