//! `TcpTransport` alone, fed with batches.

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use snapshot_core::{Body, Frame, Frames, Generation, Inbox, Incoming, Peer, RawBytes, Stamp, Transport};
use snapshot_transport_tcp::TcpTransport;

use super::connect::pair;
use super::socket::BUFFER;
use crate::setup::{End, Job, Setup};
use crate::tally::Tally;

/// What a batch is made of at most; in bytes it is about twice a write buffer.
const BATCH: usize = 1024;
const INBOX: usize = 1024;

pub(super) async fn run(setup: Setup, tally: Tally) {
    let transport = pair(&setup.end, RawBytes).await;
    let to = transport.topology().peers().next().expect("a neighbour");
    let line = Line { transport, to, number: 0, inbox: Inbox::with_capacity(INBOX), frames: Frames::new() };
    let message = Bytes::from(vec![7; setup.size]);
    match (setup.end, setup.job) {
        (End::Send(_), Job::OneWay) => line.send(message).await,
        (_, Job::OneWay) => line.receive(&tally).await,
        (End::Send(_), Job::RoundTrip) => line.ask(message, &tally).await,
        (_, Job::RoundTrip) => line.answer().await,
    }
}

struct Line {
    transport: TcpTransport<Bytes>,
    to: Peer,
    number: u64,
    inbox: Inbox<Bytes>,
    frames: Frames<Bytes>,
}

impl Line {
    async fn send(mut self, message: Bytes) {
        let batch = (2 * BUFFER / message.len()).clamp(1, BATCH);
        loop {
            for _ in 0..batch {
                self.push(black_box(message.clone()));
            }
            self.flush().await;
        }
    }

    async fn receive(mut self, tally: &Tally) {
        loop {
            self.transport.recv(&mut self.inbox).await.expect("it stands");
            while let Some(item) = self.inbox.pop() {
                if let Incoming::Frame { frame, .. } = item {
                    black_box(frame);
                    tally.one();
                }
            }
        }
    }

    async fn ask(mut self, message: Bytes, tally: &Tally) {
        loop {
            let begun = Instant::now();
            self.push(message.clone());
            self.flush().await;
            black_box(self.next().await);
            tally.took(begun.elapsed());
            tally.one();
        }
    }

    async fn answer(mut self) {
        loop {
            let message = self.next().await;
            self.push(message);
            self.flush().await;
        }
    }

    fn push(&mut self, message: Bytes) {
        self.number += 1;
        let stamp = Stamp::new(Generation::FIRST, self.number);
        self.frames.push_back(Frame { stamp, body: Body::Message(message) });
    }

    async fn flush(&mut self) {
        self.transport.send(self.to, &mut self.frames).await.expect("it stands");
    }

    async fn next(&mut self) -> Bytes {
        loop {
            while let Some(item) = self.inbox.pop() {
                if let Incoming::Frame { frame: Frame { body: Body::Message(message), .. }, .. } = item {
                    return message;
                }
            }
            self.transport.recv(&mut self.inbox).await.expect("it stands");
        }
    }
}
