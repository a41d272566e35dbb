//! The suite for codecs can fail: each flaw is caught by the test of the clause that it breaks. Codecs of ours, and of common
//! forms, pass.

use std::io::{self, Read, Write};
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use snapshot_conformance::{CodecFixture, codec};
use snapshot_core::{MessageCodec, Postcard, RawBytes};

#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
enum Message {
    Text(String),
    Numbers(Vec<u64>),
    Nothing,
}

fn messages() -> Vec<Message> {
    vec![
        Message::Text("hello".to_owned()),
        Message::Numbers(vec![0, 1, u64::MAX, 300]),
        Message::Nothing,
        Message::Text("x".repeat(300)),
        Message::Numbers(vec![]),
    ]
}

mod raw_bytes {
    use super::*;

    struct Raw;

    impl CodecFixture for Raw {
        type Message = Bytes;
        type Codec = RawBytes;

        fn new() -> Self {
            Self
        }

        fn codec(&self) -> RawBytes {
            RawBytes
        }

        fn messages(&self) -> Vec<Bytes> {
            vec![
                Bytes::new(),
                Bytes::from_static(b"\0"),
                Bytes::from_static(b"hello"),
                vec![7; 100_000].into(),
            ]
        }
    }

    snapshot_conformance::codec!(Raw);
}

mod postcard {
    use super::*;

    struct Messages;

    impl CodecFixture for Messages {
        type Message = Message;
        type Codec = Postcard;

        fn new() -> Self {
            Self
        }

        fn codec(&self) -> Postcard {
            Postcard
        }

        fn messages(&self) -> Vec<Message> {
            messages()
        }

        fn earlier(&self) -> Vec<(Vec<u8>, Message)> {
            vec![
                (b"\x00\x05hello".to_vec(), Message::Text("hello".to_owned())),
                (vec![1, 2, 7, 0xac, 0x02], Message::Numbers(vec![7, 300])),
                (vec![2], Message::Nothing),
            ]
        }
    }

    snapshot_conformance::codec!(Messages);
}

mod lines_of_text {
    use super::*;

    /// One text form for each message; every text is a message, but not every byte string is a text.
    struct Lines;

    impl MessageCodec<String> for Lines {
        fn encode(&self, message: &String, out: &mut dyn Write) -> io::Result<()> {
            out.write_all(message.as_bytes())
        }

        fn decode(&self, bytes: Bytes) -> io::Result<String> {
            String::from_utf8(bytes.into()).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
        }
    }

    impl CodecFixture for Lines {
        type Message = String;
        type Codec = Self;

        fn new() -> Self {
            Self
        }

        fn codec(&self) -> Self {
            Self
        }

        fn messages(&self) -> Vec<String> {
            ["", "buy 7", "verkaufe 3 Stück\n"].map(str::to_owned).to_vec()
        }
    }

    snapshot_conformance::codec!(Lines);
}

/// A message that holds another one, and so on.
mod nested {
    use std::env;
    use std::process::Command;

    use super::*;

    const ROLE: &str = "SNAPSHOT_CORE_TEST_DECODES_NESTED_MESSAGES";

    #[derive(PartialEq, Serialize, Deserialize, Debug)]
    enum Doll {
        Solid(u8),
        Hollow(Box<Self>),
    }

    struct Dolls;

    impl CodecFixture for Dolls {
        type Message = Doll;
        type Codec = Postcard;

        fn new() -> Self {
            Self
        }

        fn codec(&self) -> Postcard {
            Postcard
        }

        fn messages(&self) -> Vec<Doll> {
            vec![Doll::Solid(7), Doll::Hollow(Box::new(Doll::Hollow(Box::new(Doll::Solid(7)))))]
        }
    }

    /// Not a test by itself: what the next one starts.
    #[test]
    fn role() {
        if env::var_os(ROLE).is_some() {
            println!("{:?}", codec::m2_decode_refuses_what_it_does_not_know::<Dolls>());
        }
    }

    #[test]
    fn a_decoder_that_calls_itself_for_each_level_ends_the_test_program() {
        let mut program = Command::new(env::current_exe().unwrap());
        let output = program.args(["--exact", "codec::nested::role"]).env(ROLE, "yes").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("overflowed its stack"), "{output:?}");
    }
}

macro_rules! flaws {
    ($($check:ident $clause:literal: $($flaw:ident)*;)*) => {
        #[derive(Clone, Copy, PartialEq, Debug)]
        enum Flaw { Flawless, $($($flaw),*),* }

        const ALL: &[Flaw] = &[Flaw::Flawless, $($(Flaw::$flaw),*),*];

        $(mod $check {
            use super::*;

            #[test]
            fn passes_a_codec_without_flaws() {
                codec::$check::<Broken<{ Flaw::Flawless as usize }>>().unwrap();
            }

            $(#[test]
            #[expect(non_snake_case, reason = "named after the flaw")]
            fn $flaw() {
                let breach = codec::$check::<Broken<{ Flaw::$flaw as usize }>>()
                    .expect_err("a codec with this flaw passes");
                assert_eq!(breach.clause(), $clause, "{breach}");
                println!("{breach}");
            })*
        })*
    };
}

flaws! {
    m1_decoded_messages_are_the_same "M1":
        LosesTheLastNumber CutsNumbersTo32Bits WritesOnlyOnce PassesOverTheWriter CountsMessages KnowsOnlyItsOwn
        OtherBytesByReference AddsALength ReadsEarlierOnesWrong FailsOnEmptyOnes ForgetsTheKind
        RemembersTheLastBytes SharesABuffer KeepsWhatWasNotWritten;
    m2_decode_refuses_what_it_does_not_know "M2":
        PanicsOnShortBytes PanicsOnNothing PanicsOnAnUnknownKind FillsUpWithZeros IgnoresWhatFollows PanicsOnBadText
        BelievesTheLength BelievesALargeLength WaitsForMore AddsUpWithOverflow StopsAtTheEnd
        KeepsWhatItCouldNotRead;
}

struct Broken<const FLAW: usize>;

impl<const FLAW: usize> CodecFixture for Broken<FLAW> {
    type Message = Message;
    type Codec = Double;
    const LIMIT: Duration = Duration::from_secs(if FLAW == 0 { 60 } else { 2 });

    fn new() -> Self {
        Self
    }

    fn codec(&self) -> Double {
        Double {
            flaw: ALL[FLAW],
            count: Mutex::new(0),
            buffer: Mutex::default(),
            id: std::ptr::from_ref(&Box::new(0)) as u64,
        }
    }

    fn messages(&self) -> Vec<Message> {
        messages()
    }

    fn earlier(&self) -> Vec<(Vec<u8>, Message)> {
        vec![(b"t\x02\0\0\0\0\0\0\0hi".to_vec(), Message::Text("hi".to_owned()))]
    }
}

/// Kind, length in 64 bits, little-endian, then the text or the numbers. But for one flaw.
struct Double {
    flaw: Flaw,
    count: Mutex<u8>,
    /// Of some flaws: bytes that stay from one call to the next.
    buffer: Mutex<Vec<u8>>,
    id: u64,
}

impl Double {
    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn bytes(&self, message: &Message) -> Vec<u8> {
        let length = |kind: u8, length: usize| [&[kind][..], &(length as u64).to_le_bytes()].concat();
        match message {
            Message::Text(text) => [length(b't', text.len()), text.clone().into_bytes()].concat(),
            Message::Numbers(numbers) if self.is(Flaw::ForgetsTheKind) && numbers.is_empty() => vec![b'-'],
            Message::Numbers(numbers) => {
                let kept =
                    numbers.len() - usize::from(self.is(Flaw::LosesTheLastNumber) && !numbers.is_empty());
                let mut bytes = length(b'n', kept);
                for number in &numbers[..kept] {
                    let number =
                        if self.is(Flaw::CutsNumbersTo32Bits) { u64::from(*number as u32) } else { *number };
                    bytes.extend_from_slice(&number.to_le_bytes());
                }
                bytes
            }
            Message::Nothing => vec![b'-'],
        }
    }
}

impl MessageCodec<Message> for Double {
    fn encode(&self, message: &Message, out: &mut dyn Write) -> io::Result<()> {
        let mut bytes = self.bytes(message);
        match self.flaw {
            Flaw::WritesOnlyOnce => out.write(&bytes).map(drop),
            Flaw::PassesOverTheWriter => {
                let _ = out.write_all(&bytes);
                Ok(())
            }
            Flaw::CountsMessages => {
                let mut count = self.count.lock().unwrap();
                *count += 1;
                bytes.push(*count);
                out.write_all(&bytes)
            }
            Flaw::KnowsOnlyItsOwn => {
                bytes.extend_from_slice(&self.id.to_le_bytes());
                out.write_all(&bytes)
            }
            Flaw::SharesABuffer => {
                self.buffer.lock().unwrap().clear();
                for piece in bytes.chunks(2) {
                    self.buffer.lock().unwrap().extend_from_slice(piece);
                    std::thread::yield_now();
                }
                let encoded = self.buffer.lock().unwrap().clone();
                out.write_all(&encoded)
            }
            Flaw::KeepsWhatWasNotWritten => {
                let mut buffer = self.buffer.lock().unwrap();
                buffer.extend_from_slice(&bytes);
                out.write_all(&buffer)?;
                buffer.clear();
                Ok(())
            }
            _ => out.write_all(&bytes),
        }
    }

    fn decode(&self, bytes: Bytes) -> io::Result<Message> {
        match self.flaw {
            Flaw::RemembersTheLastBytes => *self.buffer.lock().unwrap() = bytes.to_vec(),
            Flaw::KeepsWhatItCouldNotRead => {
                // As if the rest came with the next call.
                let mut buffer = self.buffer.lock().unwrap();
                let all = [&buffer[..], &bytes].concat();
                let decoded = self.read(all.clone().into());
                *buffer = if decoded.is_ok() || all.len() > 30 { Vec::new() } else { all };
                return decoded;
            }
            _ => {}
        }
        self.read(bytes)
    }

    fn as_bytes(&self, message: &Message) -> Option<Bytes> {
        let Message::Text(_) = message else { return None };
        match self.flaw {
            Flaw::OtherBytesByReference => Some(self.bytes(&Message::Nothing).into()),
            Flaw::AddsALength => Some([vec![9], self.bytes(message)].concat().into()),
            Flaw::CountsMessages | Flaw::KnowsOnlyItsOwn => None,
            Flaw::RemembersTheLastBytes => Some(self.buffer.lock().unwrap().clone().into()),
            _ => Some(self.bytes(message).into()),
        }
    }
}

impl Double {
    fn read(&self, bytes: Bytes) -> io::Result<Message> {
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let mut bytes = bytes.to_vec();
        match self.flaw {
            Flaw::CountsMessages => {
                let mut count = self.count.lock().unwrap();
                if bytes.pop() < Some(*count) && bytes.len() > 1 {
                    return Err(invalid("an older one than the last"));
                }
                *count = (*count).max(1);
            }
            Flaw::KnowsOnlyItsOwn => {
                let at = bytes.len().checked_sub(8).ok_or_else(|| invalid("short"))?;
                if bytes.split_off(at) != self.id.to_le_bytes() {
                    return Err(invalid("of another codec"));
                }
            }
            Flaw::FailsOnEmptyOnes if bytes == [&b"n"[..], &[0; 8]].concat() => return Err(invalid("empty")),
            Flaw::PanicsOnNothing => assert!(!bytes.is_empty(), "nothing"),
            Flaw::PanicsOnShortBytes => assert!(bytes[0] == b'-' || bytes.len() >= 9, "{}", bytes[8]),
            Flaw::WaitsForMore if bytes.len() == 5 => std::thread::sleep(Duration::from_secs(3600)),
            Flaw::FillsUpWithZeros if !bytes.is_empty() && bytes[0] != b'-' && bytes.len() < 9 => {
                bytes.resize(9, 0);
            }
            _ => {}
        }
        let mut input = &bytes[..];
        let mut kind = [0];
        input.read_exact(&mut kind)?;
        if kind[0] == b'-' {
            return match input {
                [] => Ok(Message::Nothing),
                _ if self.is(Flaw::IgnoresWhatFollows) => Ok(Message::Nothing),
                _ => Err(invalid("more than nothing")),
            };
        }
        let mut length = [0; 8];
        input.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        let message = match kind[0] {
            b't' => {
                let mut text = match self.flaw {
                    Flaw::BelievesTheLength => vec![0; usize::try_from(length).map_err(|_| invalid("long"))?],
                    _ => Vec::new(),
                };
                match self.flaw {
                    Flaw::BelievesTheLength => input.read_exact(&mut text)?,
                    _ => {
                        let here = usize::try_from(length).unwrap_or(usize::MAX).min(input.len());
                        if (here as u64) < length && !self.is(Flaw::StopsAtTheEnd) {
                            return Err(invalid("short"));
                        }
                        text.extend_from_slice(&input[..here]);
                        input = &input[here..];
                    }
                }
                if self.is(Flaw::ReadsEarlierOnesWrong) && text == b"hi" {
                    text = b"HI".to_vec();
                }
                if self.is(Flaw::PanicsOnBadText) {
                    Message::Text(String::from_utf8(text).expect("text"))
                } else {
                    Message::Text(String::from_utf8(text).map_err(|_| invalid("no text"))?)
                }
            }
            b'n' => {
                let mut numbers = match self.flaw {
                    Flaw::BelievesALargeLength if length < 1 << 40 => Vec::with_capacity(length as usize),
                    _ => Vec::new(),
                };
                if self.is(Flaw::AddsUpWithOverflow) {
                    let end = length as usize * 8 + 9;
                    if bytes.len() < end {
                        return Err(invalid("short"));
                    }
                }
                for _ in 0..length {
                    let mut number = [0; 8];
                    input.read_exact(&mut number)?;
                    numbers.push(u64::from_le_bytes(number));
                }
                Message::Numbers(numbers)
            }
            other if self.is(Flaw::PanicsOnAnUnknownKind) => unreachable!("kind {other}"),
            _ => return Err(invalid("an unknown kind")),
        };
        if input.is_empty() || self.is(Flaw::IgnoresWhatFollows) {
            Ok(message)
        } else {
            Err(invalid("too long"))
        }
    }
}
