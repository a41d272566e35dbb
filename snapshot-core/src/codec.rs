//! Messages to bytes and back.

use std::io;

use bytes::Bytes;

/// Turns messages into bytes: for the recorded channels in a store, and for transports that need it.
///
/// # Contract
///
/// * **M1** `decode(encode(m))` is `m`, on every machine and in every later version of the application that reads old
///   snapshots.
/// * **M2** `decode` fails on bytes that it does not understand; it does not panic, and takes no more memory than is in
///   proportion to its input.
///
/// With the feature `postcard` there is [`Postcard`](crate::Postcard) for messages with serde's traits; [`RawBytes`] serves
/// [`Bytes`].
pub trait MessageCodec<M>: Send + Sync + 'static {
    /// Writes one message.
    ///
    /// # Errors
    ///
    /// What `out` says, or a message that has no byte form.
    fn encode(&self, message: &M, out: &mut dyn io::Write) -> io::Result<()>;

    /// Reads one message, which takes all of `bytes`.
    ///
    /// # Errors
    ///
    /// If these are not the bytes of a message.
    fn decode(&self, bytes: Bytes) -> io::Result<M>;

    /// The message's encoding where it stands in memory already, so that a transport can send it by reference instead of
    /// copying it. By default there is none.
    fn as_bytes(&self, message: &M) -> Option<Bytes> {
        let _ = message;
        None
    }
}

/// The codec of [`Bytes`]: they are their own encoding.
///
/// ```
/// use bytes::Bytes;
/// use snapshot_core::{MessageCodec, RawBytes};
/// let message = Bytes::from_static(b"hello");
/// let mut out = Vec::new();
/// RawBytes.encode(&message, &mut out)?;
/// assert_eq!(RawBytes.decode(out.into())?, message);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RawBytes;

impl MessageCodec<Bytes> for RawBytes {
    fn encode(&self, message: &Bytes, out: &mut dyn io::Write) -> io::Result<()> {
        out.write_all(message)
    }

    fn decode(&self, bytes: Bytes) -> io::Result<Bytes> {
        Ok(bytes)
    }

    fn as_bytes(&self, message: &Bytes) -> Option<Bytes> {
        Some(message.clone())
    }
}
