//! The least that can be done: the caller owns the socket, writes lengths and bytes, and takes slices of what it has read.

use std::hint::black_box;
use std::io::IoSlice;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::socket::{BUFFER, LARGE, open};
use crate::setup::{End, Job, Setup};
use crate::tally::Tally;

const HEAD: usize = 4;
/// Messages that are handed to the system in one call, where they are not copied.
const SLICES: usize = 32;

pub(super) async fn run(setup: Setup, tally: Tally) {
    let socket = open(&setup.end).await;
    match (setup.end, setup.job) {
        (End::Send(_), Job::RoundTrip) => ask(socket, setup.size, tally).await,
        (_, Job::RoundTrip) => answer(socket, setup.size).await,
        (End::Send(_), Job::OneWay) if setup.size > LARGE => send_large(socket, setup.size).await,
        (End::Send(_), Job::OneWay) => send_small(socket, setup.size).await,
        (_, Job::OneWay) => receive(socket, tally).await,
    }
}

async fn ask(mut socket: TcpStream, size: usize, tally: Tally) {
    let mut message = vec![7; HEAD + size];
    loop {
        let begun = Instant::now();
        socket.write_all(&message).await.expect("they read");
        socket.read_exact(&mut message).await.expect("they answer");
        tally.took(begun.elapsed());
        tally.one();
    }
}

async fn answer(mut socket: TcpStream, size: usize) {
    let mut message = vec![0; HEAD + size];
    loop {
        socket.read_exact(&mut message).await.expect("they ask");
        socket.write_all(&message).await.expect("they read");
    }
}

async fn receive(mut socket: TcpStream, tally: Tally) {
    let mut buffer = BytesMut::with_capacity(BUFFER);
    loop {
        socket.read_buf(&mut buffer).await.expect("they send");
        let (whole, missing) = whole(&buffer);
        let mut run = buffer.split_to(whole).freeze();
        while run.has_remaining() {
            let length = run.get_u32() as usize;
            black_box(run.split_to(length));
            tally.one();
        }
        if buffer.capacity() - buffer.len() < missing.max(BUFFER / 4) {
            buffer.reserve(missing.max(BUFFER));
        }
    }
}

/// The bytes of all messages that are whole, and those that are missing of the next one, as far as that is known.
fn whole(bytes: &[u8]) -> (usize, usize) {
    let mut at = 0;
    while let Some(head) = bytes.get(at..at + HEAD) {
        let length = u32::from_be_bytes(head.try_into().expect("it is that long")) as usize;
        let end = at + HEAD + length;
        if end > bytes.len() {
            return (at, end - bytes.len());
        }
        at = end;
    }
    (at, 0)
}

async fn send_small(mut socket: TcpStream, size: usize) {
    let message = Bytes::from(vec![7; size]);
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        while buffer.len() + HEAD + size <= BUFFER {
            let message = black_box(message.clone());
            buffer.extend_from_slice(&(message.len() as u32).to_be_bytes());
            buffer.extend_from_slice(&message);
        }
        socket.write_all(&buffer).await.expect("they read");
        buffer.clear();
    }
}

async fn send_large(mut socket: TcpStream, size: usize) {
    let (head, message) = ((size as u32).to_be_bytes(), Bytes::from(vec![7; size]));
    loop {
        let mut slices: Vec<IoSlice<'_>> =
            (0..SLICES).flat_map(|_| [IoSlice::new(&head), IoSlice::new(&message)]).collect();
        let mut rest = &mut slices[..];
        while !rest.is_empty() {
            let written = socket.write_vectored(rest).await.expect("they read");
            IoSlice::advance_slices(&mut rest, written);
        }
    }
}
