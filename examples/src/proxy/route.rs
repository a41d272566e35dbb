//! What a link shall do, as its connections see it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::watch;

use super::faults::LinkFault;

/// What a link shall do, as its connections see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) target: SocketAddr,
    pub(super) fault: LinkFault,
    /// How many times all connections were broken off. One that began before the last time ends, however short that was.
    pub(super) breaks: u64,
}

/// The route of a link, as the task sees it that listens.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) setting: watch::Receiver<Setting>,
    /// Bytes that have vanished.
    pub(super) swallowed: Arc<AtomicU64>,
}
