//! An application on a store that forgets the messages of restored channels: the one promise of a restart, left out on
//! purpose, to see that the oracles notice.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use snapshot_core::{
    Content, Created, Generation, GlobalSnapshot, Graph, Key, LocalSnapshot, MessageCodec, NodeId, Postcard,
    Sink, SnapshotStore, StateProvider, StoreError, Turn,
};
use snapshot_transport_mem::simulation::{Application, Cut, Outgoing, Random, SimulatedGroup};

use super::{Judged, judged};

/// The application `A`, whose messages can be nothing: `None` is what becomes of one that was forgotten.
#[derive(Debug)]
pub struct Forgetful<A>(A);

/// As [`judged`], but where `forgets`, each message of a channel that a node reads from the store, to hand it out again
/// after a restart or a rollback, is gone. Whoever reads the store from outside still sees it: the cuts are whole.
pub fn forgetful<A>(graph: &Graph, forgets: bool) -> SimulatedGroup<Forgetful<A>>
where
    A: Judged<Message: Serialize + DeserializeOwned, State: StateProvider<Captured: Clone>> + 'static,
{
    // A part is decoded within one call of the store's `read`, and everything runs in one thread.
    let reading = Arc::new(AtomicBool::new(false));
    let codec = ForgetfulCodec(Arc::clone(&reading));
    judged(graph, codec).wrap_store(move |node, store| match node {
        Some(_) if forgets => Arc::new(Watched { store, reading: Arc::clone(&reading) }),
        _ => store,
    })
}

impl<A: Application> Application for Forgetful<A> {
    type State = A::State;
    type Message = Option<A::Message>;

    fn start(&mut self, node: NodeId) -> A::State {
        self.0.start(node)
    }

    fn handle(
        &mut self,
        state: &mut A::State,
        from: NodeId,
        message: Option<A::Message>,
        out: &mut Outgoing<'_, Option<A::Message>>,
    ) {
        if let Some(message) = message {
            out.component(Some, |out| self.0.handle(state, from, message, out));
        }
    }

    fn work(
        &mut self,
        state: &mut A::State,
        random: &mut Random,
        out: &mut Outgoing<'_, Option<A::Message>>,
    ) {
        out.component(Some, |out| self.0.work(state, random, out));
    }

    fn committed(&mut self, state: &mut A::State, turn: Turn, out: &mut Outgoing<'_, Option<A::Message>>) {
        out.component(Some, |out| self.0.committed(state, turn, out));
    }

    fn rolled_back(&mut self, state: &mut A::State, turn: Turn, out: &mut Outgoing<'_, Option<A::Message>>) {
        out.component(Some, |out| self.0.rolled_back(state, turn, out));
    }

    fn put_back(&mut self, node: NodeId, turn: Turn) {
        self.0.put_back(node, turn);
    }
}

impl<A: Judged<State: StateProvider<Captured: Clone>>> Judged for Forgetful<A> {
    const RULE: &str = A::RULE;
    const RULE_AT_REST: &str = A::RULE_AT_REST;

    fn new(graph: &Graph) -> Self {
        Self(A::new(graph))
    }

    fn judge(cut: &Cut<Self>) -> Result<(), String> {
        A::judge(&without_the_forgotten::<A>(cut)?)
    }

    fn judge_rest(&self, cut: &Cut<Self>) -> Result<(), String> {
        self.0.judge_rest(&without_the_forgotten::<A>(cut)?)
    }
}

/// The cut in the words of the application within.
fn without_the_forgotten<A>(cut: &Cut<Forgetful<A>>) -> Result<Cut<A>, String>
where
    A: Application<State: StateProvider<Captured: Clone>>,
{
    let local = |(node, state): (NodeId, &<A::State as StateProvider>::Captured)| {
        let here = cut.channels().filter(|((_, to), _)| *to == node);
        let channels: BTreeMap<NodeId, Vec<A::Message>> =
            here.map(|((from, _), messages)| (from, messages.iter().flatten().cloned().collect())).collect();
        LocalSnapshot {
            snapshot: cut.id(),
            node,
            turn: cut.turn(node).unwrap_or_default(),
            members: cut.members().into(),
            state: state.clone(),
            channels,
            // In `channels` already: which end recorded a message is of no interest here.
            outgoing: BTreeMap::new(),
        }
    };
    GlobalSnapshot::assemble(cut.states().map(local)).map_err(|error| error.to_string())
}

struct ForgetfulCodec(Arc<AtomicBool>);

impl<M: Serialize + DeserializeOwned + 'static> MessageCodec<Option<M>> for ForgetfulCodec {
    fn encode(&self, message: &Option<M>, out: &mut dyn io::Write) -> io::Result<()> {
        Postcard.encode(message, out)
    }

    fn decode(&self, bytes: Bytes) -> io::Result<Option<M>> {
        if self.0.load(Ordering::Relaxed) { Ok(None) } else { Postcard.decode(bytes) }
    }
}

/// A store that says when something is read from it.
struct Watched {
    store: Arc<dyn SnapshotStore>,
    reading: Arc<AtomicBool>,
}

#[async_trait]
impl SnapshotStore for Watched {
    async fn create(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        self.store.create(key, content).await
    }

    async fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        let reading = Arc::clone(&self.reading);
        let watched = Sink::new(move |input| {
            reading.store(true, Ordering::Relaxed);
            let read = sink.read_from(input);
            reading.store(false, Ordering::Relaxed);
            read
        });
        self.store.read(key, watched).await
    }

    async fn list_parts(&self, generation: Option<Generation>) -> Result<Vec<Key>, StoreError> {
        self.store.list_parts(generation).await
    }

    async fn delete(&self, key: Key) -> Result<(), StoreError> {
        self.store.delete(key).await
    }
}
