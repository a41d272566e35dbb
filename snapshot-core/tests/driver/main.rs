//! Whole nodes: with loops and with tasks, over the network in memory and over connections of one's own, in order and in storms.

mod bank;
mod checks;
mod damaged;
mod ended;
mod endless_journal;
mod flow;
mod golden_store;
mod keeping;
mod links;
mod misuse;
mod news;
mod node;
mod pace;
mod shared;
mod shared_storms;
mod silent_store;
mod storms;
mod uncommitted_sets;
mod undeletable;
mod watched;
mod weights;
