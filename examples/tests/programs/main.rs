//! The example programs, run as processes: what they claim is checked, and what the guide quotes of them.

mod bank;
#[cfg(unix)]
mod chaos;
mod cos418;
mod cos418_simulator;
#[cfg(unix)]
mod custom_transport;
mod existing_app;
mod existing_app_group;
mod guide;
mod operators;
mod protobuf_transport;
mod schema_change;
#[cfg(unix)]
mod slow;
mod wordcount;
