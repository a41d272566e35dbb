//! A transport of one's own, from nothing to a checked snapshot: `cargo run --bin custom_transport`
//!
//! [`unix`] is the transport: Unix-domain sockets, reconnecting, with a size limit and a goodbye, in under 150 lines. The
//! one line in `tests/custom_transport.rs` holds it to all clauses of `Transport`.
//!
//! [`group`] uses it: three nodes give each other coins all the time. A snapshot is taken while coins are under way; then a
//! node is killed, and starts again; then another snapshot is taken. Each must hold every coin exactly once.

#[cfg(unix)]
mod group;
#[cfg(unix)]
mod unix;

#[cfg(unix)]
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    group::run().await
}

#[cfg(not(unix))]
fn main() {
    eprintln!("custom_transport: this system has no Unix-domain sockets");
    std::process::exit(2);
}
