//! A store that is broken in the one way in which a search for the end of the journal could go on for ever.

use std::time::Duration;

use bytes::Bytes;
use snapshot_core::{
    Failure, Graph, Key, NodeId, Output, Settings, SnapshotCoordinator, StoreAnswer, StoreRequest,
};

#[test]
fn a_store_that_has_something_under_every_key_ends_the_start_with_an_error() {
    let topology = Graph::new([NodeId(1)]).at(NodeId(1)).unwrap();
    let settings = Settings { durable: true, ..Settings::default() };
    let mut node = SnapshotCoordinator::<u64, u64>::new(topology, settings, 1);
    node.start(Duration::ZERO);
    for _ in 0..100 {
        match node.poll_output().expect("it asks until it ends") {
            Output::Store { ticket, request: StoreRequest::Read(Key::Journal(_)) } => {
                let something = StoreAnswer::Read(Some(Bytes::from_static(b"anything")));
                node.handle_store(Duration::ZERO, ticket, something, &mut || unreachable!());
            }
            Output::Failed(failure) => {
                return assert!(matches!(failure, Failure::Record { .. }), "{failure:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("it goes on for ever");
}
