//! Ways to get messages from one process to another. Each file is one, both ends of it.

mod by_hand;
mod codec;
mod connect;
mod group;
#[cfg(feature = "tonic")]
mod grpc;
mod links;
mod many;
#[cfg(feature = "monocoque")]
mod monocoque;
mod node;
mod paused;
mod shared;
mod socket;
mod transport;
mod typed;
#[cfg(feature = "zmq")]
mod zeromq;

use std::future::Future;
use std::sync::mpsc::Receiver;

pub(crate) use group::MEMBERS;

use crate::setup::Setup;
use crate::tally::Tally;
use crate::way::Way;

/// Runs one end, for good.
pub(crate) fn run(setup: Setup, tally: &Tally, orders: Receiver<String>) {
    let (threads, tally) = (setup.threads, tally.clone());
    match setup.way {
        Way::ByHand => on(threads, by_hand::run(setup, tally)),
        Way::Codec => on(threads, codec::run(setup, tally)),
        Way::Transport => on(threads, transport::run(setup, tally)),
        Way::Node => on(threads, node::run(setup, tally)),
        Way::Shared => on(threads, shared::run(setup, tally)),
        Way::Links => on(threads, links::run(setup, tally)),
        Way::CodecTyped => on(threads, typed::codec(setup, tally)),
        Way::NodeTyped => on(threads, typed::node(setup, tally)),
        Way::NodeMixed => on(threads, typed::bytes(setup, tally)),
        Way::ManyIn | Way::ManyOut => on(threads, many::run(setup, tally)),
        Way::Group => on(threads, group::run(setup, tally)),
        Way::Copied => on(threads, paused::run::<paused::Copied>(setup, tally, orders)),
        Way::Pieces => on(threads, paused::run::<paused::Pieces>(setup, tally, orders)),
        #[cfg(feature = "zmq")]
        Way::Zmq => zeromq::run(&setup, &tally),
        #[cfg(feature = "monocoque")]
        Way::Monocoque => here(monocoque::run(setup, tally)),
        #[cfg(feature = "tonic")]
        Way::Tonic => on(threads, grpc::run(setup, tally)),
    }
}

/// On a runtime in this thread, or one of several.
fn on(threads: usize, future: impl Future<Output = ()> + Send + 'static) {
    if threads == 1 {
        here(future);
    } else {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
        let runtime = runtime.expect("a runtime");
        runtime.block_on(runtime.spawn(future)).expect("it does not panic");
    }
}

fn here(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future);
}
