//! Ways to get messages from one process to another. Each file is one, both ends of it.

mod by_hand;
mod codec;
mod node;
mod socket;
mod transport;

use std::future::Future;
use std::sync::mpsc::Receiver;

use serde::{Deserialize, Serialize};

use crate::setup::Setup;
use crate::tally::Tally;

/// A row of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Way {
    ByHand,
    Codec,
    Transport,
    Node,
}

impl Way {
    /// Those that carry bytes.
    pub(crate) fn of_bytes() -> Vec<Self> {
        vec![Self::ByHand, Self::Codec, Self::Transport, Self::Node]
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ByHand => "by hand",
            Self::Codec => "codec",
            Self::Transport => "`TcpTransport`",
            Self::Node => "`SnapshotNode`",
        }
    }
}

/// Runs one end, for good.
pub(crate) fn run(setup: Setup, tally: &Tally, _orders: Receiver<String>) {
    let (threads, tally) = (setup.threads, tally.clone());
    match setup.way {
        Way::ByHand => on(threads, by_hand::run(setup, tally)),
        Way::Codec => on(threads, codec::run(setup, tally)),
        Way::Transport => on(threads, transport::run(setup, tally)),
        Way::Node => on(threads, node::run(setup, tally)),
    }
}

/// On a runtime in this thread, or one of several.
fn on(threads: usize, future: impl Future<Output = ()> + Send + 'static) {
    if threads == 1 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(future);
    } else {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
        let runtime = runtime.expect("a runtime");
        runtime.block_on(runtime.spawn(future)).expect("it does not panic");
    }
}
