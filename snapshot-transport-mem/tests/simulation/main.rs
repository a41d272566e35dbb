//! The simulation finds what is wrong with an application, passes what is right, and does the same for the same seed.

mod bank;
mod bites;
mod by_hand;
mod counters;
mod faults;
mod seeds;
