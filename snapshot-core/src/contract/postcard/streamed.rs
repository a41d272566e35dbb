//! Reads a value from a stream in the postcard format, without all of its bytes in memory at once.

use std::cell::{Cell, OnceCell};
use std::io::{self, ErrorKind, Read};

use postcard::de_flavors::Flavor;
use postcard::{Deserializer, Error};
use serde::de::DeserializeOwned;

/// What is read from the stream at one time.
const PIECE: usize = 16 << 10;

/// Reads a value that takes all of `input`. Memory: the value, 16 KiB, the longest text or byte string in it, and those that
/// are lent to its type instead of given: few types ask for that.
pub(super) fn read<T: DeserializeOwned>(input: &mut dyn Read) -> io::Result<T> {
    let (kept, failed) = (OnceCell::new(), Cell::new(None));
    let streamed = Streamed {
        input: Source { input, failed: &failed },
        piece: vec![0; PIECE],
        at: 0,
        end: 0,
        long: Vec::new(),
        kept: &kept,
    };
    let mut deserializer = Deserializer::from_flavor(streamed);
    let read = T::deserialize(&mut deserializer);
    let read = read.and_then(|value| deserializer.finalize().map(|rest| (value, rest)));
    match (read, failed.take()) {
        // It is the cause of whatever the format says.
        (_, Some(failed)) => Err(failed),
        (Ok((value, 0)), None) => Ok(value),
        (Ok((_, rest)), None) => {
            Err(io::Error::new(ErrorKind::InvalidData, format!("{rest} bytes too many")))
        }
        (Err(error), None) => Err(io::Error::new(ErrorKind::InvalidData, error)),
    }
}

/// The stream, which keeps its error: the format has no place for it.
struct Source<'de> {
    input: &'de mut dyn Read,
    failed: &'de Cell<Option<io::Error>>,
}

impl Source<'_> {
    /// Reads some bytes; none at the end.
    fn read(&mut self, into: &mut [u8]) -> postcard::Result<usize> {
        loop {
            match self.input.read(into) {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.fail(error)),
            }
        }
    }

    fn fail(&self, error: io::Error) -> Error {
        self.failed.set(Some(error));
        Error::DeserializeUnexpectedEnd
    }
}

struct Streamed<'de> {
    input: Source<'de>,
    piece: Vec<u8>,
    /// What of the piece is read and not taken.
    at: usize,
    end: usize,
    /// What is longer than a piece, or lies across two.
    long: Vec<u8>,
    /// Where the next one is kept that is lent.
    kept: &'de OnceCell<Box<Kept>>,
}

/// Bytes that are lent for as long as the value is read.
struct Kept {
    bytes: Box<[u8]>,
    next: OnceCell<Box<Self>>,
}

impl Drop for Kept {
    /// One after the other: there may be more of them than the stack is deep.
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(mut kept) = next {
            next = kept.next.take();
        }
    }
}

impl<'de> Streamed<'de> {
    fn refill(&mut self) -> postcard::Result<()> {
        (self.at, self.end) = (0, self.input.read(&mut self.piece)?);
        if self.end == 0 { Err(Error::DeserializeUnexpectedEnd) } else { Ok(()) }
    }

    /// The next so many bytes. Makes room for no more than has come.
    fn take(&mut self, count: usize) -> postcard::Result<&[u8]> {
        if count <= self.end - self.at {
            self.at += count;
            return Ok(&self.piece[self.at - count..self.at]);
        }
        self.long.clear();
        self.long.extend_from_slice(&self.piece[self.at..self.end]);
        self.at = self.end;
        while self.long.len() < count {
            self.refill()?;
            let some = self.end.min(count - self.long.len());
            self.long.extend_from_slice(&self.piece[..some]);
            self.at = some;
        }
        Ok(&self.long)
    }
}

impl<'de> Flavor<'de> for Streamed<'de> {
    /// How many bytes there were behind the value.
    type Remainder = u64;
    type Source = &'de mut dyn Read;

    #[inline]
    fn pop(&mut self) -> postcard::Result<u8> {
        if self.at == self.end {
            self.refill()?;
        }
        self.at += 1;
        Ok(self.piece[self.at - 1])
    }

    /// What has come: types that make room ahead shall not believe more.
    fn size_hint(&self) -> Option<usize> {
        Some(self.end - self.at)
    }

    fn try_take_n(&mut self, count: usize) -> postcard::Result<&'de [u8]> {
        let (bytes, place) = (self.take(count)?.into(), self.kept);
        let kept = place.get_or_init(|| Box::new(Kept { bytes, next: OnceCell::new() }));
        self.kept = &kept.next;
        Ok(&kept.bytes)
    }

    fn try_take_n_temp<'a>(&'a mut self, count: usize) -> postcard::Result<&'a [u8]>
    where
        'de: 'a,
    {
        self.take(count)
    }

    fn finalize(mut self) -> postcard::Result<u64> {
        let mut rest = 0;
        loop {
            rest += (self.end - self.at) as u64;
            (self.at, self.end) = (0, self.input.read(&mut self.piece)?);
            if self.end == 0 {
                return Ok(rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written<T: serde::Serialize>(value: &T) -> Vec<u8> {
        postcard::to_stdvec(value).unwrap()
    }

    /// Gives at most so many bytes at a time, and an error at its end where there is one.
    struct Dripping<'a> {
        rest: &'a [u8],
        most: usize,
        end: Option<ErrorKind>,
    }

    impl Read for Dripping<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let most = into.len().min(self.most);
            match (self.rest.read(&mut into[..most])?, self.end) {
                (0, Some(kind)) => Err(kind.into()),
                (count, _) => Ok(count),
            }
        }
    }

    fn dripped<T: DeserializeOwned>(rest: &[u8], most: usize, end: Option<ErrorKind>) -> io::Result<T> {
        read(&mut Dripping { rest, most, end })
    }

    #[test]
    fn texts_of_all_lengths_come_back_across_the_bounds_of_pieces() {
        let sizes = [0, 1, PIECE - 9, PIECE, 3, PIECE + 1, 5 * PIECE, 200];
        let texts: Vec<String> =
            sizes.iter().zip('a'..).map(|(size, c)| c.to_string().repeat(*size)).collect();
        for most in [1, 1000, PIECE, usize::MAX] {
            assert!(
                dripped::<Vec<String>>(&written(&texts), most, None).unwrap() == texts,
                "{most} at a time"
            );
        }
    }

    /// A number whose type asks for a text that is lent.
    #[derive(PartialEq, Debug)]
    struct Lent(u32);

    impl serde::Serialize for Lent {
        fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            to.serialize_str(&self.0.to_string())
        }
    }

    impl<'de> serde::Deserialize<'de> for Lent {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl serde::de::Visitor<'_> for Visitor {
                type Value = Lent;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("a number")
                }
                fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Lent, E> {
                    text.parse().map(Lent).map_err(E::custom)
                }
            }
            from.deserialize_str(Visitor)
        }
    }

    #[test]
    fn a_million_texts_may_be_lent() {
        let numbers: Vec<Lent> = (0..1_000_000).map(Lent).collect();
        assert!(dripped::<Vec<Lent>>(&written(&numbers), usize::MAX, None).unwrap() == numbers);
        assert!(dripped::<Vec<Lent>>(&written(&["7", "x"]), usize::MAX, None).is_err());
    }

    #[test]
    fn bytes_too_few_or_too_many_are_no_value() {
        let bytes = written(&(300_u64, "text".to_owned()));
        for len in 0..bytes.len() {
            let error = dripped::<(u64, String)>(&bytes[..len], 3, None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "cut to {len}");
        }
        let more = [&bytes[..], &[0; 3 * PIECE]].concat();
        let error = dripped::<(u64, String)>(&more, usize::MAX, None).unwrap_err();
        assert_eq!(error.to_string(), format!("{} bytes too many", 3 * PIECE));
    }

    #[test]
    fn what_the_stream_says_goes_before_what_the_format_says() {
        let bytes = written(&(300_u64, "text".to_owned()));
        for len in 0..=bytes.len() {
            let error = dripped::<(u64, String)>(&bytes[..len], 3, Some(ErrorKind::TimedOut)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "cut to {len}");
        }
    }

    #[test]
    fn a_promise_takes_no_memory() {
        for promise in [1 << 24, u64::MAX >> 1] {
            let bytes = written(&promise);
            assert!(dripped::<String>(&bytes, usize::MAX, None).is_err());
            assert!(dripped::<Vec<Lent>>(&bytes, usize::MAX, None).is_err());
        }
    }
}
