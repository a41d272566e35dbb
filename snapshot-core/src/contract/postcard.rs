//! The feature `postcard`: one byte format for states and messages with serde's traits.

#[cfg(test)]
mod properties;
mod straight;
mod streamed;

use std::collections::vec_deque;
use std::io;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use postcard::ser_flavors::Size;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::contract::codec::MessageCodec;
use crate::contract::delimited;
use crate::contract::state::{StateProvider, UnknownVersion};

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
///
/// # What cannot be read back
///
/// The bytes hold neither names nor kinds of fields: only who knows the type can read them. Some of serde's attributes make a
/// type that asks the bytes what they are. All of it compiles, in messages and in a [`PostcardState`], and most of it is
/// **written** without an error:
///
/// | attribute | what becomes of it | in place of it |
/// | --- | --- | --- |
/// | `tag`, with `content` or without, and `untagged` | written, never read back | a plain `enum`: a variant is stored as its position |
/// | `skip_serializing_if` | written, not read back where a field was left out | the field alone; a `None` takes one byte |
/// | `flatten` | not written | the inner struct as a field |
/// | `default`, on a field that is new | no help: a missing field is not noticed | [another version](PostcardState#when-the-state-changes) |
///
/// The same goes for types that ask the bytes by themselves, such as `serde_json::Value`. And a type that holds itself, such as
/// a tree, is read as deep as the bytes say: bytes that no release has written can overflow the stack. Keep it flat, a list
/// whose entries refer to each other by index, where bytes may come from strangers. Likewise a map of some other crate may make
/// room for as many entries as the bytes promise; those of the standard library do not. All of this shows in a test:
/// `codec!` and `state!` of the crate `snapshot-conformance`.
///
/// ```
/// use snapshot_core::{MessageCodec, Postcard};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, PartialEq, Debug)]
/// #[serde(tag = "kind")]
/// enum Tagged { Buy { pieces: u32 } }
///
/// #[derive(Serialize, Deserialize, PartialEq, Debug)]
/// enum Plain { Buy { pieces: u32 } }
///
/// let mut out = Vec::new();
/// Postcard.encode(&Tagged::Buy { pieces: 3 }, &mut out)?;
/// assert!(MessageCodec::<Tagged>::decode(&Postcard, out.into()).is_err());
///
/// let mut out = Vec::new();
/// Postcard.encode(&Plain::Buy { pieces: 3 }, &mut out)?;
/// assert_eq!(MessageCodec::<Plain>::decode(&Postcard, out.into())?, Plain::Buy { pieces: 3 });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Postcard;

impl Postcard {
    /// Reads a value that takes all of `bytes`: for [`PostcardState::migrate`], the state as an older release had it.
    ///
    /// ```
    /// use snapshot_core::Postcard;
    /// assert_eq!(Postcard::from_bytes::<(u8, bool)>(&[7, 1])?, (7, true));
    /// assert!(Postcard::from_bytes::<u8>(&[7, 1]).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If these are not the bytes of a `T`, or there are more.
    pub fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
        read(bytes)
    }
}

impl<M: Serialize + DeserializeOwned> MessageCodec<M> for Postcard {
    fn encode(&self, message: &M, out: &mut dyn io::Write) -> io::Result<()> {
        write(message, out)
    }

    fn decode(&self, bytes: Bytes) -> io::Result<M> {
        read(&bytes)
    }

    fn decode_part(&self, buffer: &Bytes, part: Range<usize>) -> io::Result<M> {
        read(&buffer[part])
    }

    fn encode_delimited(
        &self,
        messages: vec_deque::Iter<'_, M>,
        longest: usize,
        room: usize,
        out: &mut BytesMut,
    ) -> usize {
        delimited::all(messages, room, out, |message, room, out| {
            delimited::write(|out| straight::write(message, out), longest, room, out)
        })
    }

    fn encoded_len(&self, message: &M) -> usize {
        postcard::serialize_with_flavor(message, Size::default()).unwrap_or(0)
    }
}

/// Makes a state with serde's traits and `Clone` a [`StateProvider`], by one line.
///
/// A capture is a clone; [`encode`](StateProvider::encode) and `decode` stream, but for a state of an older version, which
/// [`migrate`](Self::migrate) is given as bytes. Beside the state they take 16 KiB, and the longest text or byte string in it.
/// States that are large or slow to clone implement [`StateProvider`] themselves. Some of serde's attributes do not go with
/// the format: see [`Postcard`](Postcard#what-cannot-be-read-back).
///
/// ```
/// use snapshot_core::PostcardState;
///
/// #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// struct Ledger { balance: u64 }
///
/// impl PostcardState for Ledger {}
/// ```
///
/// # When the state changes
///
/// The format does not name its fields: **any** change of the type, be it a field more, another order or another type of
/// number, makes another byte form. (A new enum variant at the end does not change the bytes of what an older release
/// wrote, but an older release does not read it: that is another version too.) So keep the old type under another name,
/// raise [`VERSION`](Self::VERSION) by one, and say in [`migrate`](Self::migrate) how the old becomes the new:
///
/// ```
/// use snapshot_core::{Postcard, PostcardState, StateProvider, UnknownVersion};
/// use serde::{Deserialize, Serialize};
/// use std::collections::BTreeMap;
/// use std::io;
///
/// /// As it was in version 1. It stays for as long as there may be snapshots of it.
/// #[derive(Deserialize)]
/// struct LedgerV1 { coins: u32 }
///
/// #[derive(Clone, Serialize, Deserialize)]
/// struct Ledger { cents: BTreeMap<String, u64> }
///
/// impl PostcardState for Ledger {
///     const VERSION: u32 = 2;
///
///     fn migrate(version: u32, bytes: &[u8]) -> io::Result<Self> {
///         match version {
///             1 => Postcard::from_bytes::<LedgerV1>(bytes).map(Self::from),
///             _ => Err(UnknownVersion::of::<Self>(version).into()),
///         }
///     }
/// }
///
/// impl From<LedgerV1> for Ledger {
///     fn from(old: LedgerV1) -> Self {
///         Self { cents: BTreeMap::from([("main".to_owned(), u64::from(old.coins) * 100)]) }
///     }
/// }
///
/// let stored_by_version_1 = [7];
/// let ledger = Ledger::decode(1, &mut &stored_by_version_1[..])?;
/// assert_eq!(ledger.cents["main"], 700);
/// # Ok::<(), io::Error>(())
/// ```
///
/// Of a third version, let each old type become the next one, so that `1` goes through `LedgerV2`: each step is written, and
/// tested, once. A snapshot of a **newer** version than this release's is always refused.
pub trait PostcardState: Clone + Serialize + DeserializeOwned + Send + 'static {
    /// The version of the state's layout: one more with each change of it.
    const VERSION: u32 = 1;

    /// Makes a state of what an older release stored: `version` is less than [`VERSION`](Self::VERSION), and `bytes` are all
    /// of the state, checked against damage. Runs off the message loop. [`Postcard::from_bytes`] reads the old type.
    ///
    /// By default no older version is read.
    ///
    /// # Errors
    ///
    /// [`UnknownVersion`] if this release does not read that version; any other if the bytes are no such state.
    fn migrate(version: u32, bytes: &[u8]) -> io::Result<Self> {
        let _ = bytes;
        Err(UnknownVersion::of::<Self>(version).into())
    }

    /// Another handle on a captured state: a clone, where that costs next to nothing. See [`StateProvider::keep`]. By default
    /// there is none.
    fn keep(captured: &Self) -> Option<Self> {
        let _ = captured;
        None
    }
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

    fn keep(captured: &T) -> Option<T> {
        T::keep(captured)
    }

    fn encode(captured: &T, out: &mut dyn io::Write) -> io::Result<()> {
        // Each number is a write of its own.
        let mut gathered = io::BufWriter::with_capacity(GATHERED, out);
        write(captured, &mut gathered)?;
        io::Write::flush(&mut gathered)
    }

    fn decode(version: u32, input: &mut dyn io::Read) -> io::Result<T> {
        let unknown = UnknownVersion::of::<T>(version);
        if unknown.is_newer() {
            return Err(unknown.into());
        }
        if version == unknown.known {
            return streamed::read(input);
        }
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        T::migrate(version, &bytes)
    }
}

/// So many bytes of a state are gathered before they are given on.
const GATHERED: usize = 16 << 10;

fn write<T: Serialize>(value: &T, out: impl io::Write) -> io::Result<()> {
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

struct Keeping<W> {
    out: W,
    failed: Option<io::Error>,
}

impl<W: io::Write> io::Write for Keeping<W> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Serialize, serde::Deserialize, Debug, PartialEq)]
    struct Third {
        sum: u64,
    }

    impl PostcardState for Third {
        const VERSION: u32 = 3;

        fn migrate(version: u32, bytes: &[u8]) -> io::Result<Self> {
            match version {
                2 => Postcard::from_bytes::<(u32, u32)>(bytes)
                    .map(|(a, b)| Self { sum: u64::from(a) + u64::from(b) }),
                _ => Err(UnknownVersion::of::<Self>(version).into()),
            }
        }
    }

    fn unknown<T: StateProvider>(version: u32, bytes: &[u8]) -> UnknownVersion
    where
        T::Captured: std::fmt::Debug,
    {
        let error = T::decode(version, &mut &bytes[..]).unwrap_err();
        *error.get_ref().and_then(|cause| cause.downcast_ref()).expect("the version is what is wrong")
    }

    #[test]
    fn what_is_installed_is_the_state() {
        let mut state = Third { sum: 1 };
        let captured = state.capture();
        state.sum = 2;
        state.install(captured);
        assert_eq!(state, Third { sum: 1 });
    }

    #[test]
    fn each_version_is_read_as_what_it_is() {
        assert_eq!(Third::decode(3, &mut &[7][..]).unwrap(), Third { sum: 7 });
        assert_eq!(Third::decode(2, &mut &[7, 5][..]).unwrap(), Third { sum: 12 });
        assert_eq!(Third::decode(2, &mut &[7][..]).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(Third::decode(2, &mut &[7, 5, 0][..]).unwrap_err().to_string().contains("1 bytes too many"));
    }

    #[test]
    fn an_unknown_version_is_refused_whichever_it_is() {
        for version in [0, 1, 4, u32::MAX] {
            assert_eq!(unknown::<Third>(version, &[7, 5]), UnknownVersion { found: version, known: 3 });
        }
        assert_eq!(unknown::<()>(2, &[]), UnknownVersion { found: 2, known: 1 });
    }

    #[test]
    fn a_state_without_a_migration_reads_its_own_version_alone() {
        #[derive(Clone, Serialize, serde::Deserialize, Debug)]
        struct Plain(u8);
        impl PostcardState for Plain {
            const VERSION: u32 = 2;
        }
        assert_eq!(Plain::decode(2, &mut &[9][..]).unwrap().0, 9);
        assert_eq!(unknown::<Plain>(1, &[9]), UnknownVersion { found: 1, known: 2 });
    }

    /// What `Postcard`'s docs say of serde's attributes.
    mod attributes {
        use serde::Deserialize;

        use super::*;

        #[derive(Serialize, Deserialize)]
        #[serde(tag = "kind")]
        enum Tagged {
            Buy { pieces: u32 },
        }

        #[derive(Serialize, Deserialize)]
        #[serde(tag = "kind", content = "of")]
        enum TaggedBeside {
            Buy { pieces: u32 },
        }

        #[derive(Serialize, Deserialize)]
        #[serde(untagged)]
        enum Untagged {
            Pieces(u32),
        }

        #[derive(Serialize, Deserialize)]
        struct Flattened {
            #[serde(flatten)]
            inner: Inner,
        }

        #[derive(Serialize, Deserialize)]
        struct Inner {
            pieces: u32,
        }

        #[derive(Serialize, Deserialize)]
        struct Skipping {
            #[serde(skip_serializing_if = "Option::is_none")]
            note: Option<u8>,
            pieces: u32,
        }

        #[derive(Serialize)]
        struct Old {
            pieces: u32,
        }

        #[derive(Serialize, Deserialize)]
        struct New {
            pieces: u32,
            #[serde(default)]
            note: Option<u8>,
        }

        fn written<T: Serialize>(value: &T) -> Vec<u8> {
            let mut bytes = Vec::new();
            write(value, &mut bytes).expect("it is written");
            bytes
        }

        fn is_not_read_back<T: Serialize + DeserializeOwned>(value: &T) {
            assert!(read::<T>(&written(value)).is_err());
        }

        #[test]
        fn what_has_a_tag_or_asks_for_one_is_written_and_not_read_back() {
            is_not_read_back(&Tagged::Buy { pieces: 3 });
            is_not_read_back(&TaggedBeside::Buy { pieces: 3 });
            is_not_read_back(&Untagged::Pieces(3));
        }

        #[test]
        fn what_is_flattened_is_not_written() {
            let error = write(&Flattened { inner: Inner { pieces: 3 } }, &mut Vec::new()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }

        #[test]
        fn what_leaves_a_field_out_is_not_read_back_without_it() {
            is_not_read_back(&Skipping { note: None, pieces: 3 });
            assert_eq!(read::<Skipping>(&written(&Skipping { note: Some(1), pieces: 3 })).unwrap().pieces, 3);
        }

        #[test]
        fn a_default_does_not_stand_in_for_a_field_that_is_missing() {
            assert!(read::<New>(&written(&Old { pieces: 3 })).is_err());
        }
    }
}
