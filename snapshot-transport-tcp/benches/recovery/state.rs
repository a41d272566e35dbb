//! The two states: one that is copied for each capture, one that is shared with it.

use std::io::{self, Read, Write};
use std::sync::Arc;

use snapshot_core::StateProvider;

/// Bytes, and how they are captured.
pub(crate) trait Block: Clone + Send + 'static {
    fn of(bytes: Vec<u8>) -> Self;
    fn bytes(&self) -> &[u8];

    fn keep(&self) -> Option<Self> {
        None
    }
}

impl Block for Vec<u8> {
    fn of(bytes: Vec<u8>) -> Self {
        bytes
    }

    fn bytes(&self) -> &[u8] {
        self
    }
}

impl Block for Arc<Vec<u8>> {
    fn of(bytes: Vec<u8>) -> Self {
        Self::new(bytes)
    }

    fn bytes(&self) -> &[u8] {
        self
    }

    fn keep(&self) -> Option<Self> {
        Some(Self::clone(self))
    }
}

/// What a node keeps: so many messages were handled, and a block.
#[derive(Clone)]
pub(crate) struct State<B> {
    pub(crate) handled: u64,
    pub(crate) block: B,
}

impl<B: Block> State<B> {
    pub(crate) fn new(size: usize, seed: u64) -> Self {
        Self { handled: 0, block: B::of(noise(size, seed)) }
    }
}

impl<B: Block> StateProvider for State<B> {
    type Captured = Self;

    fn capture(&mut self) -> Self {
        self.clone()
    }

    fn install(&mut self, captured: Self) {
        *self = captured;
    }

    fn keep(captured: &Self) -> Option<Self> {
        let block = captured.block.keep()?;
        Some(Self { handled: captured.handled, block })
    }

    fn encode(captured: &Self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&captured.handled.to_le_bytes())?;
        out.write_all(captured.block.bytes())
    }

    fn decode(_: u32, input: &mut dyn Read) -> io::Result<Self> {
        let mut handled = [0; 8];
        input.read_exact(&mut handled)?;
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        Ok(Self { handled: u64::from_le_bytes(handled), block: B::of(bytes) })
    }
}

/// Bytes that no disk can make smaller, and others for each seed.
fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; size];
    random.fill(&mut bytes);
    bytes
}
