//! `SharedNode`: many tasks, one state, atomic turns.

mod calls;
mod deliveries;
mod ends;
mod support;
mod turns;
mod wakers;
