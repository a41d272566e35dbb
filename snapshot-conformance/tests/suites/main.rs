//! The suites, judged themselves: each passes what keeps the contract, and finds each fault by the test of the clause that the
//! fault breaks.

mod clock;
mod codec;
mod state;
mod store;
mod transport;
