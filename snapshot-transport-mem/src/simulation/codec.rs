//! One codec for the nodes and whoever reads their store.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use snapshot_core::MessageCodec;

/// A codec that the nodes and the archive share.
pub(super) struct SharedCodec<M>(pub(super) Arc<dyn MessageCodec<M>>);

impl<M: 'static> MessageCodec<M> for SharedCodec<M> {
    fn encode(&self, message: &M, out: &mut dyn io::Write) -> io::Result<()> {
        self.0.encode(message, out)
    }

    fn decode(&self, bytes: Bytes) -> io::Result<M> {
        self.0.decode(bytes)
    }

    fn as_bytes(&self, message: &M) -> Option<Bytes> {
        self.0.as_bytes(message)
    }

    fn as_slice<'m>(&self, message: &'m M) -> Option<&'m [u8]> {
        self.0.as_slice(message)
    }
}

impl<M> Clone for SharedCodec<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
