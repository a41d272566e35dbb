//! A batch of messages, by whichever codec.

use std::collections::VecDeque;
use std::io;

use bytes::{Bytes, BytesMut};

use crate::contract::codec::{MessageCodec, RawBytes};

/// What the bytes say: messages behind their lengths.
fn read(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (mut len, mut shift) = (0, 0);
        loop {
            let (byte, rest) = bytes.split_first().unwrap();
            bytes = rest;
            len |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (message, rest) = bytes.split_at(len);
        found.push(message.to_vec());
        bytes = rest;
    }
    found
}

/// As [`RawBytes`], by way of `encode`; it has no bytes for what begins with a 9.
struct Written;

impl MessageCodec<Bytes> for Written {
    fn encode(&self, message: &Bytes, out: &mut dyn io::Write) -> io::Result<()> {
        out.write_all(&message[..message.len() / 2])?;
        if message.first() == Some(&9) {
            return Err(io::Error::other("no nines"));
        }
        out.write_all(&message[message.len() / 2..])
    }

    fn decode(&self, bytes: Bytes) -> io::Result<Bytes> {
        if bytes.first() == Some(&9) { Err(io::Error::other("no nines")) } else { Ok(bytes) }
    }
}

fn messages() -> VecDeque<Bytes> {
    [0, 1, 127, 128, 300, 20_000].map(|len| Bytes::from(vec![len as u8; len])).into()
}

#[test]
fn messages_come_behind_their_lengths_whichever_way_they_are_written() {
    for codec in [&RawBytes as &dyn MessageCodec<Bytes>, &Written] {
        let mut out = BytesMut::from(&b"before"[..]);
        assert_eq!(codec.encode_delimited(messages().iter(), usize::MAX, usize::MAX, &mut out), 6);
        assert_eq!(&out[..6], b"before");
        assert_eq!(read(&out[6..]), messages().iter().map(|bytes| bytes.to_vec()).collect::<Vec<_>>());
    }
}

#[test]
fn only_whole_messages_are_written_and_none_behind_one_that_does_not_fit() {
    for codec in [&RawBytes as &dyn MessageCodec<Bytes>, &Written] {
        for room in 0..700 {
            let mut out = BytesMut::new();
            let taken = codec.encode_delimited(messages().iter(), usize::MAX, room, &mut out);
            assert!(out.len() <= room, "{} bytes, and room for {room}", out.len());
            assert_eq!(read(&out).len(), taken);
        }
        let mut out = BytesMut::new();
        assert_eq!(
            codec.encode_delimited(messages().iter(), 127, 10_000, &mut out),
            3,
            "the fourth is too long"
        );
        assert_eq!(read(&out).len(), 3);
    }
}

#[test]
fn a_message_that_cannot_be_encoded_or_read_leaves_those_before_it() {
    let messages: VecDeque<_> = [7, 8, 9, 10].map(|first| Bytes::from(vec![first; 4])).into();
    let mut out = BytesMut::new();
    assert_eq!(Written.encode_delimited(messages.iter(), 100, 1000, &mut out), 2);
    assert_eq!(read(&out), [[7; 4], [8; 4]]);

    let buffer = Bytes::from_static(&[7, 7, 8, 8, 9, 9, 10]);
    let mut read = VecDeque::new();
    assert!(Written.decode_parts(&buffer, &[0..2, 2..4, 4..6, 6..7], &mut read).is_err());
    assert_eq!(read, [&[7, 7][..], &[8, 8]]);
    assert_eq!(read[0].as_ptr(), buffer.as_ptr());
}
