//! The rules, without I/O: each by itself, claim by claim as in the paper, in random schedules, and against liars.

mod arrivals;
mod broken;
mod doubtful;
mod floods;
mod flow;
mod group;
mod histories;
mod journal;
mod late;
mod leaving;
mod leftovers;
mod liar;
mod overtaken;
mod paper;
mod queues;
mod recovery;
mod relief;
mod rules;
mod runs;
mod schedule;
mod schedules;
mod slow;
mod strangers;
mod torn;
mod uncommitted;
