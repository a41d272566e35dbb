//! gRPC by `tonic`: one call with a stream each way, whose messages are bytes as they are.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Buf, BufMut, Bytes};
use futures::{Stream, StreamExt, stream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder, Streaming};
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{NamedService, StreamingService};
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};

use crate::setup::{End, Job, Setup};
use crate::tally::{Tally, say};

const METHOD: &str = "/compare.Bytes/Talk";
const WINDOW: u32 = 4 << 20;
const LIMIT: usize = 64 << 20;

pub(super) async fn run(setup: Setup, tally: Tally) {
    match &setup.end {
        End::Send(address) => call(address, &setup, &tally).await,
        _ => serve(setup.job, tally).await,
    }
}

async fn serve(job: Job, tally: Tally) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    say(&format!("address {}", listener.local_addr().expect("it is bound")));
    let server = Server::builder().tcp_nodelay(true).initial_stream_window_size(WINDOW);
    let server = server.initial_connection_window_size(WINDOW).add_service(Talk { job, tally });
    server.serve_with_incoming(TcpListenerStream::new(listener)).await.expect("it serves");
}

async fn call(address: &str, setup: &Setup, tally: &Tally) {
    let channel = Channel::from_shared(format!("http://{address}")).expect("an address").tcp_nodelay(true);
    let channel = channel.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
    let mut client = tonic::client::Grpc::new(channel.connect().await.expect("they listen"))
        .max_decoding_message_size(LIMIT)
        .max_encoding_message_size(LIMIT);
    client.ready().await.expect("it stands");
    let message = Bytes::from(vec![7; setup.size]);
    match setup.job {
        Job::OneWay => {
            let messages = stream::repeat_with(move || black_box(message.clone()));
            let answer: Response<Streaming<Bytes>> =
                client.streaming(Request::new(messages), path(), Raw).await.expect("they answer");
            answer.into_inner().next().await;
        }
        Job::RoundTrip => {
            let (questions, asked) = mpsc::channel(1);
            questions.send(message.clone()).await.expect("it is taken");
            let asked = Request::new(ReceiverStream::new(asked));
            let answers: Response<Streaming<Bytes>> =
                client.streaming(asked, path(), Raw).await.expect("they answer");
            let mut answers = answers.into_inner();
            answers.next().await.expect("they answer").expect("it stands");
            loop {
                let begun = Instant::now();
                questions.send(message.clone()).await.expect("it is taken");
                answers.next().await.expect("they answer").expect("it stands");
                tally.took(begun.elapsed());
                tally.one();
            }
        }
    }
}

fn path() -> http::uri::PathAndQuery {
    http::uri::PathAndQuery::from_static(METHOD)
}

/// The service: counts what comes, or sends it back.
#[derive(Clone)]
struct Talk {
    job: Job,
    tally: Tally,
}

impl NamedService for Talk {
    const NAME: &'static str = "compare.Bytes";
}

impl Service<http::Request<Body>> for Talk {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let talk = self.clone();
        Box::pin(async move {
            let mut server = tonic::server::Grpc::new(Raw).max_decoding_message_size(LIMIT);
            Ok(server.streaming(talk, request).await)
        })
    }
}

impl StreamingService<Bytes> for Talk {
    type Response = Bytes;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let (messages, tally) = (request.into_inner(), self.tally.clone());
        ready(Ok(Response::new(match self.job {
            Job::RoundTrip => messages.boxed(),
            Job::OneWay => messages
                .filter_map(move |message| {
                    black_box(&message);
                    tally.one();
                    ready(message.err().map(Err))
                })
                .boxed(),
        })))
    }
}

/// Bytes as they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.reserve(item.len());
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
