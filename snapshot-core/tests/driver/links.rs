//! `LinkTransport`: connections that the application owns.

mod bounds;
mod carry;
mod conformance;
mod connections;
mod storm;
mod support;
