//! The transport of `custom_transport` keeps every clause of `Transport`, and the program does what it says.

#[path = "../../src/bin/custom_transport/unix.rs"]
pub(crate) mod unix;

use std::process::Command;

use bytes::Bytes;
use snapshot_conformance::TransportFixture;
use snapshot_core::{Body, Frame, Frames, Generation, Graph, Inbox, NodeId, Stamp, Topology, Transport};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use unix::UnixTransport;

/// The one line.
mod conformance {
    snapshot_conformance::transport!(super::Sockets);
}

/// A folder of sockets.
struct Sockets {
    folder: TempDir,
    runtime: Runtime,
}

impl TransportFixture for Sockets {
    type Message = Bytes;
    type Transport = UnixTransport<Bytes>;

    fn new(_: &Graph) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        Self { folder: tempfile::tempdir().unwrap(), runtime: runtime.unwrap() }
    }

    async fn start(&self, topology: Topology) -> UnixTransport<Bytes> {
        UnixTransport::bind(self.folder.path(), topology).unwrap()
    }

    fn message(&self, number: u64, size: usize) -> Bytes {
        let mut bytes = number.to_le_bytes().repeat(size.div_ceil(8));
        bytes.truncate(size);
        bytes.into()
    }

    fn block_on<T>(&self, scenario: impl Future<Output = T>) -> T {
        self.runtime.block_on(scenario)
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_the_node_and_says_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let graph = Graph::mesh([NodeId(1), NodeId(2)]);
    let [one, _two] =
        [1, 2].map(|id| UnixTransport::<Bytes>::bind(folder.path(), graph.at(NodeId(id)).unwrap()).unwrap());
    let mut frames = Frames::new();
    let body = Body::Message(Bytes::from(vec![0; 20 << 20]));
    frames.push_back(Frame { stamp: Stamp::new(Generation(1), 1), body });
    one.send(one.topology().peer(NodeId(2)).unwrap(), &mut frames).await.unwrap();
    let mut inbox = Inbox::with_capacity(8);
    let error = loop {
        if let Err(error) = one.recv(&mut inbox).await {
            break error;
        }
    };
    assert!(error.is_frame_too_large() && error.peer() == Some(NodeId(2)));
    assert!(error.to_string().contains("limit of 16777216"), "{error}");
}

#[test]
fn the_program_ends_by_itself_with_every_coin_counted() {
    let output = Command::new(env!("CARGO_BIN_EXE_custom_transport")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.matches("\nsnapshot ").count() + usize::from(text.starts_with("snapshot ")), 2, "{text}");
    assert!(text.ends_with("2 snapshots, 1 kill, 300 coins in each: ok\n"), "{text}");
}
