//! Whoever dials a node that wants certificates, and says anything at all: before TLS, in the middle of its handshake, or behind it, with a
//! certificate of the group's authority or without one.
//!
//! It comes in only where it has proved that it is node 2 and then greets as node 2. Whatever else it says, it is let go, nothing of it
//! is shown that steers a terminal, and node 3, which belongs, is not disturbed.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use arbitrary::Arbitrary;
use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use snapshot_core::{Inbox, Incoming, NodeId, Transport};
use snapshot_transport_tcp::{Certificates, TcpTransport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::rustls;

use super::tcp::{ACCEPT, HELLO, NO_SESSION, account, builder, in_time, runtime, step, topology};

/// Where a greeting says of which life of its process it is.
const LIFE: std::ops::Range<usize> = 37..53;

/// What the stranger does.
#[derive(Arbitrary, Debug)]
pub struct Input {
    shows: Shows,
    /// What is changed in its first words, and in its proof.
    first: Vec<Change>,
    proof: Vec<Change>,
    /// What it says inside the session, if it comes to that.
    greeting: Greeting,
}

/// What it shows.
#[derive(Arbitrary, Clone, Copy, PartialEq, Eq, Debug)]
enum Shows {
    /// No TLS is spoken at all: the changes alone are sent.
    NoTls,
    Nothing,
    /// As node 2, from the group's authority.
    Right,
    /// As node 2 of another group, from the same authority.
    OtherGroup,
    /// As node 2, from another authority.
    OtherAuthority,
}

/// One thing that is wrong with some bytes.
#[derive(Arbitrary, Debug)]
enum Change {
    Byte { at: u16, to: u8 },
    Cut { at: u16 },
    Insert { at: u16, bytes: Vec<u8> },
}

#[derive(Arbitrary, Debug)]
enum Greeting {
    Right,
    From(u8),
    Raw(Vec<u8>),
}

impl Change {
    fn make(&self, bytes: &mut Vec<u8>) {
        let within = |at: u16| usize::from(at) % (bytes.len() + 1);
        match self {
            Self::Byte { at, to } => {
                let at = within(*at);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = *to;
                }
            }
            Self::Cut { at } => bytes.truncate(within(*at)),
            Self::Insert { at, bytes: more } => {
                let at = within(*at);
                bytes.splice(at..at, more.iter().copied());
            }
        }
    }
}

impl Greeting {
    fn bytes(&self) -> Vec<u8> {
        let hello = |from| step(3, HELLO, &account(from, 1, topology(2).fingerprint(), 1 << 20, b"fuzz"));
        match self {
            Self::Right => [hello(2), step(3, ACCEPT, &NO_SESSION)].concat(),
            Self::From(from) => [hello(u64::from(*from)), step(3, ACCEPT, &NO_SESSION)].concat(),
            Self::Raw(bytes) => bytes.clone(),
        }
    }

    /// Whether it is node 2's, of whatever life.
    fn may_be_right(&self) -> bool {
        match self {
            Self::Right => true,
            Self::From(from) => *from == 2,
            Self::Raw(bytes) => {
                let right = Self::Right.bytes();
                let same = |(at, (one, other)): (usize, (&u8, &u8))| LIFE.contains(&at) || one == other;
                bytes.len() >= right.len() && bytes.iter().zip(&right).enumerate().all(same)
            }
        }
    }
}

/// Nodes 1 and 3, connected, used for input after input, and what strangers show.
struct Bench {
    runtime: Runtime,
    one: TcpTransport<Bytes>,
    _three: TcpTransport<Bytes>,
    roots: Arc<RootCertStore>,
    /// As node 2: right, of another group, of another authority.
    shown: [(String, String); 3],
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

fn sign(authority: &CertifiedIssuer<'_, KeyPair>, group: &str, node: u64) -> (String, String) {
    let (mut params, key) = (CertificateParams::default(), KeyPair::generate().expect("a key"));
    let uri = Certificates::uri(group, NodeId(node)).try_into().expect("ASCII");
    // The second for the stranger, whose library wants to know a host.
    let host = SanType::DnsName("node".try_into().expect("ASCII"));
    params.subject_alt_names = vec![SanType::URI(uri), host];
    (params.signed_by(&key, authority).expect("a certificate").pem(), key.serialize_pem())
}

impl Bench {
    fn new() -> Self {
        let (runtime, ours, others) = (runtime(), authority(), authority());
        let node = |id: u64| {
            let (chain, key) = sign(&ours, "fuzz", id);
            builder(id, 4096).tls(Certificates::from_pem(chain, key, ours.pem()).expect("they are good"))
        };
        let (one, three) = runtime.block_on(async {
            let one = node(1).bind().await.expect("it can listen on the loopback");
            let at = one.local_addr().expect("it listens").to_string();
            // Nobody listens where node 2 would be.
            let known = [(NodeId(1), at), (NodeId(2), "127.0.0.1:9".to_owned())];
            let three = node(3).peers(known).bind().await.expect("it can listen on the loopback");
            let mut inbox = Inbox::with_capacity(4);
            one.recv(&mut inbox).await.expect("it stands");
            assert!(matches!(inbox.pop(), Some(Incoming::Up(up)) if up.id() == NodeId(3)));
            (one, three)
        });
        let mut roots = RootCertStore::empty();
        roots.add(ours.der().clone()).expect("an authority");
        let shown = [sign(&ours, "fuzz", 2), sign(&ours, "other", 2), sign(&others, "fuzz", 2)];
        Self { runtime, one, _three: three, roots: Arc::new(roots), shown }
    }

    fn session(&self, shows: Shows) -> ClientConnection {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_protocol_versions(&[&rustls::version::TLS13]).expect("it has the ciphers");
        let config = config.with_root_certificates(Arc::clone(&self.roots));
        let index = match shows {
            Shows::NoTls | Shows::Nothing => None,
            Shows::Right => Some(0),
            Shows::OtherGroup => Some(1),
            Shows::OtherAuthority => Some(2),
        };
        let config = match index {
            Some(index) => {
                let (chain, key) = &self.shown[index];
                let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).expect("a certificate")];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
                config.with_client_auth_cert(chain, key).expect("they go together")
            }
            None => config.with_no_client_auth(),
        };
        let name = ServerName::try_from("node").expect("a name");
        ClientConnection::new(Arc::new(config), name).expect("a session")
    }
}

thread_local! {
    static BENCH: RefCell<Bench> = RefCell::new(Bench::new());
}

/// See the [module](self).
///
/// # Panics
///
/// Where somebody comes in who does not belong, a member does not, or node 3 is disturbed.
pub fn run(input: Input) {
    BENCH.with_borrow(|bench| bench.runtime.block_on(in_time(meet(bench, &input))));
}

async fn meet(bench: &Bench, input: &Input) {
    let at = bench.one.local_addr().expect("it listens");
    let mut socket = TcpStream::connect(at).await.expect("the node listens");
    let mut session = bench.session(input.shows);
    // Whether the node has heard what a member would say, and nothing else.
    let (bytes, mut faithful) = match input.shows {
        Shows::NoTls => (changed(&input.greeting.bytes(), &input.first).0, false),
        _ => changed(&written(&mut session), &input.first),
    };
    // It may have closed before all is said, here and below.
    let mut open = socket.write_all(&bytes).await.is_ok();
    if faithful && open {
        open = answered(&mut session, &mut socket).await;
        assert!(open, "the node does not answer who begins well");
        let (proof, as_it_is) = changed(&written(&mut session), &input.proof);
        faithful = as_it_is;
        open = socket.write_all(&proof).await.is_ok();
        std::io::Write::write_all(&mut session.writer(), &input.greeting.bytes()).expect("in memory");
        let said = written(&mut session);
        open = open && socket.write_all(&said).await.is_ok();
    }
    if open {
        let _ = socket.shutdown().await;
    }
    let (mut heard, mut told) = (Vec::new(), Vec::new());
    let mut inbox = Inbox::with_capacity(4);
    // Whoever came in is let go when the node is asked for what it has read. A reset is an end too.
    let asked = async {
        loop {
            bench.one.recv(&mut inbox).await.expect("a stranger does not end the transport");
            told.extend(std::iter::from_fn(|| inbox.pop()));
        }
    };
    tokio::select! {
        _ = socket.read_to_end(&mut heard) => {}
        () = asked => {}
    }
    let of_two = |item: &Incoming<Bytes>| match item {
        Incoming::Up(peer) | Incoming::Left(peer) | Incoming::Lost { peer, .. } => peer.id() == NodeId(2),
        Incoming::Frame { from, .. } => from.id() == NodeId(2),
    };
    assert!(told.iter().all(of_two), "somebody else came or went: {told:?}");
    let shows = input.shows == Shows::Right;
    let may = shows && input.greeting.may_be_right();
    assert!(may || told.is_empty(), "somebody came in who does not belong: {told:?}");
    // What was changed on the way may be something that TLS does not mind, and bytes may be a life that is over.
    let must = shows && faithful && matches!(input.greeting, Greeting::Right | Greeting::From(2));
    assert!(!must || matches!(told.first(), Some(Incoming::Up(_))), "a member did not come in");
    let missing = bench.one.connected(Duration::ZERO).await.expect_err("node 2 is away");
    assert!(
        missing.missing().iter().all(|missing| missing.peer == NodeId(2)),
        "node 3 is disturbed: {missing}"
    );
    let shown = missing.to_string();
    assert!(!shown.contains(char::is_control), "shown to people: {shown:?}");
}

/// The bytes with what is wrong with them, and whether they are the same still.
fn changed(bytes: &[u8], changes: &[Change]) -> (Vec<u8>, bool) {
    let mut new = bytes.to_vec();
    for change in changes {
        change.make(&mut new);
    }
    let same = new == bytes;
    (new, same)
}

fn written(session: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut bytes).expect("in memory");
    }
    bytes
}

/// Reads what the node says until the stranger has its part of the handshake.
async fn answered(session: &mut ClientConnection, socket: &mut TcpStream) -> bool {
    let mut some = [0; 4096];
    while session.is_handshaking() {
        match socket.read(&mut some).await {
            Ok(count) if count > 0 => {
                session.read_tls(&mut &some[..count]).expect("in memory");
                session.process_new_packets().expect("the node speaks TLS, and belongs");
            }
            _ => return false,
        }
    }
    true
}
