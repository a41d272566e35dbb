//! The rules, without I/O: each by itself, claim by claim as in the paper, in random schedules, and against liars.

mod arrivals;
mod floods;
mod group;
mod journal;
mod liar;
mod paper;
mod queues;
mod recovery;
mod rules;
mod schedule;
mod schedules;
