//! The feature `postcard`: one byte format for states and messages with serde's traits.

use std::io;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{MessageCodec, StateProvider};

/// The codec of messages with serde's traits, in the postcard format.
///
/// ```
/// use snapshot_core::{MessageCodec, Postcard};
/// let mut out = Vec::new();
/// Postcard.encode(&("transfer".to_owned(), 5_u64), &mut out)?;
/// let back: (String, u64) = Postcard.decode(out.into())?;
/// assert_eq!(back, ("transfer".to_owned(), 5));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Postcard;

impl<M: Serialize + DeserializeOwned> MessageCodec<M> for Postcard {
    fn encode(&self, message: &M, out: &mut dyn io::Write) -> io::Result<()> {
        write(message, out)
    }

    fn decode(&self, bytes: Bytes) -> io::Result<M> {
        read(&bytes)
    }
}

/// Makes a state with serde's traits and `Clone` a [`StateProvider`], by one line.
///
/// A capture is a clone; [`encode`](StateProvider::encode) streams; `decode` reads the encoded bytes into memory first.
/// States that are large or slow to clone implement [`StateProvider`] themselves.
///
/// ```
/// use snapshot_core::PostcardState;
///
/// #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// struct Ledger { balance: u64 }
///
/// impl PostcardState for Ledger {}
/// ```
pub trait PostcardState: Clone + Serialize + DeserializeOwned + Send + 'static {
    /// The version of the state's layout: only snapshots of this version are read.
    const VERSION: u32 = 1;
}

impl<T: PostcardState> StateProvider for T {
    type Captured = T;
    const VERSION: u32 = <T as PostcardState>::VERSION;

    fn capture(&mut self) -> T {
        self.clone()
    }

    fn install(&mut self, captured: T) {
        *self = captured;
    }

    fn encode(captured: &T, out: &mut dyn io::Write) -> io::Result<()> {
        write(captured, out)
    }

    fn decode(version: u32, input: &mut dyn io::Read) -> io::Result<T> {
        if version != <T as PostcardState>::VERSION {
            let message = format!(
                "the state is of version {version}, and this release reads version {}: \
                 implement `StateProvider` to read both",
                <T as PostcardState>::VERSION
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        read(&bytes)
    }
}

fn write<T: Serialize>(value: &T, out: &mut dyn io::Write) -> io::Result<()> {
    // postcard swallows the writer's error; keep it, for it says whether the disk is full.
    let mut keep = Keeping { out, failed: None };
    match postcard::to_io(value, &mut keep) {
        Ok(_) => Ok(()),
        Err(error) => Err(keep.failed.unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, error))),
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => {
            Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} bytes too many", rest.len())))
        }
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}

struct Keeping<'a> {
    out: &'a mut dyn io::Write,
    failed: Option<io::Error>,
}

impl io::Write for Keeping<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes).map_err(|error| {
            let shown = io::Error::from(error.kind());
            self.failed = Some(error);
            shown
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
