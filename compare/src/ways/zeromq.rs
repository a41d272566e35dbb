//! libzmq: PUSH and PULL, REQ and REP; the I/O is in threads of its own.

use std::hint::black_box;
use std::time::Instant;

use zmq::{Context, Message, Socket, SocketType};

use crate::setup::{End, Job, Setup};
use crate::tally::{Tally, say};

pub(super) fn run(setup: &Setup, tally: &Tally) {
    let context = Context::new();
    let message = vec![7; setup.size];
    match (&setup.end, setup.job) {
        (End::Send(address), Job::OneWay) => {
            let socket = connected(&context, SocketType::PUSH, address);
            loop {
                socket.send(black_box(&message), 0).expect("they read");
            }
        }
        (End::Send(address), Job::RoundTrip) => {
            let socket = connected(&context, SocketType::REQ, address);
            let mut answer = Message::new();
            loop {
                let begun = Instant::now();
                socket.send(&message, 0).expect("they read");
                socket.recv(&mut answer, 0).expect("they answer");
                tally.took(begun.elapsed());
                tally.one();
            }
        }
        (_, Job::RoundTrip) => {
            let socket = bound(&context, SocketType::REP);
            loop {
                let question = socket.recv_msg(0).expect("they ask");
                socket.send(question, 0).expect("they read");
            }
        }
        (_, Job::OneWay) => {
            let socket = bound(&context, SocketType::PULL);
            let mut message = Message::new();
            loop {
                socket.recv(&mut message, 0).expect("they send");
                black_box(&message);
                tally.one();
            }
        }
    }
}

fn connected(context: &Context, kind: SocketType, address: &str) -> Socket {
    let socket = context.socket(kind).expect("a socket");
    socket.connect(&format!("tcp://{address}")).expect("an address");
    socket
}

fn bound(context: &Context, kind: SocketType) -> Socket {
    let socket = context.socket(kind).expect("a socket");
    socket.bind("tcp://127.0.0.1:*").expect("a port");
    let address = socket.get_last_endpoint().expect("it is bound").expect("it is text");
    say(&format!("address {}", address.trim_start_matches("tcp://")));
    socket
}
