//! The clauses of [`MessageCodec`], M1 and M2.
//!
//! | test | what it does |
//! | --- | --- |
//! | `m1_decoded_messages_are_the_same` | messages there and back, in any order, by other codecs, on several threads, from bytes at any address; what earlier releases stored |
//! | `m2_decode_refuses_what_it_does_not_know` | bytes cut short, too long, changed, without sense, nested without end, with lengths that promise too much |
//!
//! How much memory `decode` takes is noticed on Linux. One that asks for more than the machine has ends the test program with
//! `memory allocation of … bytes failed`, and one that calls itself for each level of what is nested, however deep, with `has
//! overflowed its stack`: these, too, are breaches of M2.
//!
//! All this happens in one process. That the bytes mean the same in another one, after a restart, on another machine, is
//! what the fixture's `earlier` is for: bytes that were written once and for all.

use std::fmt::Debug;
use std::io;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use snapshot_core::MessageCodec;

use super::hostile::{Subject, Taken};
use super::pieces::{PieceWriter, Pieces, places};
use super::trial::Trial;
use super::{Breach, Clause};

/// How the suite gets your codec and some messages.
///
/// ```
/// use snapshot_core::Postcard;
/// use snapshot_conformance::CodecFixture;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, PartialEq, Debug)]
/// enum Order { Buy { article: String, pieces: u32 }, Cancel(u64) }
///
/// struct Orders;
///
/// impl CodecFixture for Orders {
///     type Message = Order;
///     type Codec = Postcard;
///
///     fn new() -> Self { Self }
///     fn codec(&self) -> Postcard { Postcard }
///     fn messages(&self) -> Vec<Order> {
///         vec![Order::Buy { article: "tea".to_owned(), pieces: 3 }, Order::Cancel(u64::MAX)]
///     }
///     // What the first release sent: it is read for as long as a snapshot may hold it.
///     fn earlier(&self) -> Vec<(Vec<u8>, Order)> { vec![(vec![1, 7], Order::Cancel(7))] }
/// }
///
/// // In a test file, or beside the messages: one line, two tests.
/// snapshot_conformance::codec!(Orders);
/// # fn main() { snapshot_conformance::codec::m1_decoded_messages_are_the_same::<Orders>().unwrap(); }
/// ```
pub trait CodecFixture: Sized + 'static {
    /// The messages.
    type Message: PartialEq + Debug + 'static;

    /// The codec.
    type Codec: MessageCodec<Self::Message>;

    /// How long one step of a test may take, in real time, before the test fails.
    const LIMIT: Duration = Duration::from_secs(30);

    /// What the fixture itself needs.
    fn new() -> Self;

    /// A codec, as another process would have it.
    fn codec(&self) -> Self::Codec;

    /// Messages: of each kind, small and large, with what is empty and what is extreme. Each time the same.
    fn messages(&self) -> Vec<Self::Message>;

    /// Bytes that earlier releases stored, or other machines, and the message that they are now. Keep one of each kind of
    /// message: that is what finds a change of the form that nobody meant.
    fn earlier(&self) -> Vec<(Vec<u8>, Self::Message)> {
        Vec::new()
    }
}

/// Makes tests of all clauses of [`MessageCodec`](snapshot_core::MessageCodec), M1 and M2, for a
/// [`CodecFixture`](crate::CodecFixture).
///
/// For a second fixture in the same file, put the line into a `mod` of its own.
#[macro_export]
macro_rules! codec {
    ($fixture:ty) => {
        $crate::codec!(
            $fixture: m1_decoded_messages_are_the_same m2_decode_refuses_what_it_does_not_know
        );
    };
    ($fixture:ty: $($check:ident)*) => {
        $(#[test]
        fn $check() {
            $crate::judge($crate::codec::$check::<$fixture>());
        })*
    };
}

const M1: Clause = Clause::new("M1", "decoded messages are the same");
const M2: Clause = Clause::new("M2", "decode refuses what it does not know");

/// What was encoded is decoded to the same message: by any codec of this kind, in any order, on any thread.
///
/// # Errors
///
/// If M1 is broken, or the codec does not work well enough to tell.
pub fn m1_decoded_messages_are_the_same<F: CodecFixture>() -> Result<(), Breach> {
    Trial::run(M1, F::LIMIT, |trial| Desk::<F>::new(trial).the_same())
}

/// Bytes that are no message are refused, without a panic and without much memory.
///
/// # Errors
///
/// If M2 is broken, or the codec does not work well enough to tell.
pub fn m2_decode_refuses_what_it_does_not_know<F: CodecFixture>() -> Result<(), Breach> {
    Trial::run(M2, F::LIMIT, |trial| Desk::<F>::new(trial).refuses())
}

struct Desk<'t, F> {
    fixture: F,
    trial: &'t Trial,
}

impl<'t, F: CodecFixture> Desk<'t, F> {
    fn new(trial: &'t Trial) -> Self {
        trial.step("`new` of the fixture");
        Self { fixture: F::new(), trial }
    }

    fn the_same(&self) -> Result<(), Breach> {
        let messages = self.fixture.messages();
        let codec = self.fixture.codec();
        let encoded = messages.iter().map(|message| self.encode(&codec, message, Pieces::All));
        let encoded: Vec<Bytes> = encoded.collect::<Result<_, _>>()?;
        for (message, bytes) in messages.iter().zip(&encoded) {
            self.comes_back(&codec, message, bytes, "what was encoded")?;
            self.is_written_to_any_writer(&codec, message)?;
            self.is_read_at_any_address(&codec, message, bytes)?;
            self.has_the_bytes_that_it_says(&codec, message, bytes)?;
        }
        // Nothing is kept from one message to the next.
        for (message, bytes) in messages.iter().zip(&encoded).rev() {
            self.comes_back(&codec, message, bytes, "what was encoded, in the other direction,")?;
            self.comes_back(&self.fixture.codec(), message, bytes, "what another codec had encoded")?;
            let again = self.encode(&codec, message, Pieces::All)?;
            self.comes_back(&self.fixture.codec(), message, &again, "what was encoded a second time")?;
        }
        // Nor of those that it decoded.
        for (message, bytes) in messages.iter().zip(&encoded) {
            self.has_the_bytes_that_it_says(&codec, message, bytes)?;
            let decoded = codec.decode(bytes.clone());
            let decoded = decoded.map_err(|error| {
                self.trial.broken(format!("{} is not decoded once more: {error}", short(message)))
            })?;
            self.has_the_bytes_that_it_says(&codec, &decoded, bytes)?;
        }
        self.serves_several_threads(&codec, &messages, &encoded)?;
        self.comes_back_on_another_thread(messages, encoded)?;
        for (bytes, message) in self.fixture.earlier() {
            self.comes_back(&codec, &message, &Bytes::from(bytes), "what an earlier release had stored")?;
        }
        Ok(())
    }

    fn refuses(&self) -> Result<(), Breach> {
        let codec = self.fixture.codec();
        let decode = |bytes: &[u8]| {
            let message = codec.decode(Bytes::copy_from_slice(bytes))?;
            let mut out = Vec::new();
            codec.encode(&message, &mut out)?;
            Ok(Taken { left: 0, encoded: Some(out) })
        };
        let subject = Subject { trial: self.trial, decode: &decode, what: "`decode`".to_owned() };
        for message in self.fixture.messages() {
            let bytes = self.encode(&codec, &message, Pieces::All)?;
            subject.withstands(&bytes)?;
        }
        Ok(())
    }

    fn encode(&self, codec: &F::Codec, message: &F::Message, pieces: Pieces) -> Result<Bytes, Breach> {
        self.trial.step(format!("`encode` of {}", short(message)));
        let mut out = PieceWriter::new(pieces);
        let encoded = codec.encode(message, &mut out);
        encoded
            .map_err(|error| self.trial.broken(format!("`encode` of {} failed: {error}", short(message))))?;
        Ok(out.bytes.into())
    }

    fn comes_back(
        &self,
        codec: &F::Codec,
        message: &F::Message,
        bytes: &Bytes,
        what: &str,
    ) -> Result<(), Breach> {
        self.trial.step(format!("`decode` of {} bytes of {}", bytes.len(), short(message)));
        self.is_same(codec.decode(bytes.clone()), message, what)
    }

    fn is_same(
        &self,
        decoded: io::Result<F::Message>,
        message: &F::Message,
        what: &str,
    ) -> Result<(), Breach> {
        match decoded {
            Ok(decoded) if decoded == *message => Ok(()),
            Ok(decoded) => {
                let (message, decoded) = (short(message), short(&decoded));
                Err(self.trial.broken(format!("{what} of {message} is decoded to {decoded}")))
            }
            Err(error) => {
                Err(self.trial.broken(format!("{what} of {} is not decoded: {error}", short(message))))
            }
        }
    }

    /// One that takes little at a time, and one that fails: or bytes would be missing that nobody knows of.
    fn is_written_to_any_writer(&self, codec: &F::Codec, message: &F::Message) -> Result<(), Breach> {
        for pieces in Pieces::EACH {
            let bytes = self.encode(codec, message, pieces)?;
            self.comes_back(codec, message, &bytes, "what was written in pieces")?;
        }
        let size = self.encode(codec, message, Pieces::All)?.len();
        for room in places(size) {
            if codec.encode(message, &mut PieceWriter::with_room(room)).is_ok() {
                return Err(self.trial.broken(format!(
                    "`encode` of {} returned Ok, where its writer failed after {room} of {size} bytes",
                    short(message)
                )));
            }
        }
        Ok(())
    }

    /// Messages come as slices of larger buffers.
    fn is_read_at_any_address(
        &self,
        codec: &F::Codec,
        message: &F::Message,
        bytes: &Bytes,
    ) -> Result<(), Breach> {
        for before in 0..16 {
            let buffer = Bytes::from([&vec![0xa5; before][..], bytes, &[0xa5; 3]].concat());
            let slice = buffer.slice(before..before + bytes.len());
            self.comes_back(codec, message, &slice, "a slice of a larger buffer")?;
        }
        Ok(())
    }

    fn has_the_bytes_that_it_says(
        &self,
        codec: &F::Codec,
        message: &F::Message,
        bytes: &Bytes,
    ) -> Result<(), Breach> {
        match codec.as_bytes(message) {
            Some(by_reference) if by_reference != *bytes => Err(self.trial.broken(format!(
                "`as_bytes` of {} gives {} bytes, and `encode` writes {} others",
                short(message),
                by_reference.len(),
                bytes.len()
            ))),
            _ => Ok(()),
        }
    }

    /// One codec serves all channels and the store, each on its own thread.
    fn serves_several_threads(
        &self,
        codec: &F::Codec,
        messages: &[F::Message],
        encoded: &[Bytes],
    ) -> Result<(), Breach> {
        const THREADS: usize = 4;
        const EACH: usize = 50;
        self.trial.step("`decode` and `encode` on several threads");
        let again = |from: usize| {
            let turns = encoded.iter().enumerate().cycle().skip(from).take(EACH * encoded.len().min(4));
            let there_and_back = |(index, bytes): (usize, &Bytes)| {
                let mut out = Vec::new();
                codec
                    .decode(bytes.clone())
                    .and_then(|message| codec.encode(&message, &mut out))
                    .map(|()| (index, out))
            };
            turns.map(there_and_back).collect::<io::Result<Vec<_>>>()
        };
        let outcomes = thread::scope(|scope| {
            let again = &again;
            let threads: Vec<_> = (0..THREADS).map(|from| scope.spawn(move || again(from))).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().map(join).collect::<Vec<_>>()
        });
        for outcome in outcomes {
            let outcome = outcome.map_err(|error| {
                self.trial.broken(format!("a message is not decoded and encoded while others are: {error}"))
            })?;
            for (index, bytes) in outcome {
                let decoded = self.fixture.codec().decode(bytes.into());
                self.is_same(decoded, &messages[index], "what was encoded while other threads did so")?;
            }
        }
        Ok(())
    }

    fn comes_back_on_another_thread(
        &self,
        messages: Vec<F::Message>,
        encoded: Vec<Bytes>,
    ) -> Result<(), Breach> {
        self.trial.step("`encode` on another thread");
        let codec = self.fixture.codec();
        // The codec goes there, not the messages, which need not be `Send`: what is decoded there is encoded there.
        let there = thread::spawn(move || {
            let again = |bytes: Bytes| {
                let mut out = Vec::new();
                codec
                    .decode(bytes)
                    .and_then(|message| codec.encode(&message, &mut out))
                    .map(|()| Bytes::from(out))
            };
            encoded.into_iter().map(again).collect::<Vec<io::Result<Bytes>>>()
        });
        let again = there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        for (message, bytes) in messages.iter().zip(again) {
            let decoded = bytes.and_then(|bytes| self.fixture.codec().decode(bytes));
            self.is_same(decoded, message, "what was decoded and encoded on another thread")?;
        }
        Ok(())
    }
}

/// A message in a few words.
fn short(message: &impl Debug) -> String {
    let text = format!("{message:?}");
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
