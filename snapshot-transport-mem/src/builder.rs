//! How a network is to be.

use std::fmt;
use std::sync::Arc;

use snapshot_core::{Graph, MessageCodec, NodeId, TopologyError};

use crate::fabric::Fabric;
use crate::{Delay, MemNetwork};

/// Makes a [`MemNetwork`]; [`MemNetwork::builder`] begins one.
///
/// ```
/// use snapshot_core::{Graph, NodeId};
/// use snapshot_transport_mem::MemNetwork;
/// use std::time::Duration;
///
/// let graph = Graph::ring([NodeId(1), NodeId(2), NodeId(3)]);
/// let network = MemNetwork::<String>::builder(&graph)
///     .seed(7)
///     .capacity(64)
///     .delay(Duration::from_millis(1)..Duration::from_millis(5))
///     .build()?;
/// assert_eq!(network.channels().len(), 3);
/// # Ok::<(), snapshot_core::TopologyError>(())
/// ```
pub struct MemNetworkBuilder<M> {
    graph: Graph,
    seed: u64,
    capacity: usize,
    delay: Delay,
    codec: Option<Arc<dyn MessageCodec<M>>>,
}

impl<M: Send + 'static> MemNetworkBuilder<M> {
    pub(crate) fn new(graph: &Graph) -> Self {
        Self { graph: graph.clone(), seed: 0, capacity: 1024, delay: Delay::NONE, codec: None }
    }

    /// What decides all that is drawn at random. By default 0.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How many frames each channel holds, 1 at least; a `send` that would put in more waits. By default 1024.
    #[must_use]
    pub fn capacity(mut self, frames: usize) -> Self {
        self.capacity = frames.max(1);
        self
    }

    /// How long frames take, on every channel ([`MemNetwork::set_delay`] changes one). By default no time.
    #[must_use]
    pub fn delay(mut self, delay: impl Into<Delay>) -> Self {
        self.delay = delay.into();
        self
    }

    /// The byte form of messages that [`Transport::codec`](snapshot_core::Transport::codec) names, for stores. The network
    /// itself needs none. By default there is none.
    #[must_use]
    pub fn codec(mut self, codec: Arc<dyn MessageCodec<M>>) -> Self {
        self.codec = Some(codec);
        self
    }

    /// The network, in which nobody runs yet.
    ///
    /// # Errors
    ///
    /// A graph that is no topology, as [`Graph::at`] says.
    pub fn build(self) -> Result<MemNetwork<M>, TopologyError> {
        let Self { graph, seed, capacity, delay, codec } = self;
        let member = graph.members().first().copied().unwrap_or(NodeId(0));
        let topology = graph.at(member)?;
        Ok(MemNetwork::new_with(Fabric::new(graph, topology, codec, seed, capacity, delay)))
    }
}

impl<M> fmt::Debug for MemNetworkBuilder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { graph, seed, capacity, delay, .. } = self;
        f.debug_struct("MemNetworkBuilder")
            .field("graph", graph)
            .field("seed", seed)
            .field("capacity", capacity)
            .field("delay", delay)
            .finish_non_exhaustive()
    }
}
