use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType, date_time_ymd};
use rustls::pki_types::UnixTime;
use snapshot_core::Graph;
use tokio::net::TcpListener;

use super::*;
use crate::entry::{dialed, taken};
use crate::error::LastSeen;
use crate::handshake::{Identity, OwnLife};
use crate::shared::{Shared, Timing};

/// Only so that a test that hangs says so.
const LONG: Duration = Duration::from_secs(60);
/// 2030-01-01.
const BEGIN: u64 = 1_893_456_000;
const DAY: u64 = 86_400;

/// A wall clock that a test moves.
#[derive(Clone, Debug)]
struct Wall(Arc<AtomicU64>);

impl TimeProvider for Wall {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Ordering::Relaxed))))
    }
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Valid until the end of the first days of 2030.
    fn sign(&self, node: u64, days: u8) -> Certificates {
        let (mut params, key) = (CertificateParams::default(), KeyPair::generate().unwrap());
        params.subject_alt_names = vec![SanType::URI(names::uri("orders", NodeId(node)).try_into().unwrap())];
        params.not_before = date_time_ymd(2029, 12, 31);
        params.not_after = date_time_ymd(2030, 1, 1 + days);
        params.serial_number = Some(vec![0x0a, days].into());
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Certificates::from_pem(certificate.pem(), key.serialize_pem(), self.0.pem()).unwrap()
    }
}

fn node(me: u64, certificates: Certificates, wall: &Wall) -> Shared {
    let topology = Graph::mesh([1, 2].map(NodeId)).named("orders").at(NodeId(me)).unwrap();
    let timing = Timing {
        handshake: LONG,
        first_redial: LONG,
        slowest_redial: LONG,
        close: LONG,
        silence: LONG,
        resume: Duration::ZERO,
    };
    let tls = Tls::new(&topology, certificates, Arc::new(wall.clone())).unwrap();
    let mut shared = Shared::new(Identity { topology, max_frame: 4096, own: OwnLife::new(1) }, timing, false);
    shared.tls = Some(Arc::new(tls));
    shared
}

/// Node 2 dials node 1: what each says if they do not agree.
async fn meet(one: &Shared, two: &Shared) -> Result<(), [LastSeen; 2]> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let socket = TcpStream::connect(at).await.unwrap();
    let (other, _) = listener.accept().await.unwrap();
    let dial = async {
        let outcome = dialed(two, socket, 1, NodeId(1)).await;
        match outcome {
            Ok(entered) => Ok(entered),
            Err(turned_away) => {
                let seen = turned_away.failed.last_seen();
                turned_away.part().await;
                Err(seen)
            }
        }
    };
    let take = async {
        match taken(one, other, 1).await {
            Ok(entered) => Ok(entered),
            Err(turned_away) => {
                let seen = turned_away.failed.last_seen();
                turned_away.part().await;
                Err(seen)
            }
        }
    };
    let both = async { tokio::join!(dial, take) };
    match tokio::time::timeout(LONG, both).await.expect("the test hangs") {
        (Ok(_), Ok(_)) => Ok(()),
        (Err(dialer), Err(listener)) => Err([dialer, listener]),
        other => panic!("{other:?}"),
    }
}

fn refusal(seen: &LastSeen) -> &str {
    match seen {
        LastSeen::Refused { why } => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_certificate_that_expires_under_a_node_that_dials_is_told_by_both_until_there_is_a_newer_one() {
    let (authority, wall) = (Authority::new(), Wall(Arc::new(AtomicU64::new(BEGIN))));
    let (one, two) = (node(1, authority.sign(1, 20), &wall), node(2, authority.sign(2, 10), &wall));
    meet(&one, &two).await.unwrap();
    wall.0.store(BEGIN + 11 * DAY, Ordering::Relaxed);
    let [dialer, listener] = meet(&one, &two).await.unwrap_err();
    let expired = "the certificate of snapshot://orders/node/2 (serial 0A0A) has expired: it was valid until 2030-01-11T00:00:00Z";
    assert!(refusal(&listener).starts_with(expired), "{listener:?}");
    let why = refusal(&dialer);
    assert!(why.starts_with("the other side does not take what n2 shows") && why.contains(expired), "{why}");

    let handle = CertificateHandle(two.tls.clone().unwrap());
    let text = handle.replace(authority.sign(2, 10)).unwrap_err().to_string();
    assert!(text.starts_with(expired), "{text}");
    handle.replace(authority.sign(2, 30)).unwrap();
    assert_eq!(handle.valid_until(), SystemTime::UNIX_EPOCH + Duration::from_secs(BEGIN + 30 * DAY));
    meet(&one, &two).await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_expires_under_a_node_that_is_dialed_is_told_by_both() {
    let (authority, wall) = (Authority::new(), Wall(Arc::new(AtomicU64::new(BEGIN))));
    let (one, two) = (node(1, authority.sign(1, 10), &wall), node(2, authority.sign(2, 20), &wall));
    wall.0.store(BEGIN + 11 * DAY, Ordering::Relaxed);
    let [dialer, listener] = meet(&one, &two).await.unwrap_err();
    let expired = "the certificate of snapshot://orders/node/1 (serial 0A0A) has expired: it was valid until 2030-01-11T00:00:00Z";
    assert!(refusal(&dialer).starts_with(expired), "{dialer:?}");
    assert!(refusal(&listener).contains(expired), "{listener:?}");
}

#[tokio::test]
async fn clocks_that_disagree_are_named_as_a_reason() {
    let authority = Authority::new();
    let [early, late] = [BEGIN, BEGIN + 15 * DAY].map(|at| Wall(Arc::new(AtomicU64::new(at))));
    let (one, two) = (node(1, authority.sign(1, 20), &late), node(2, authority.sign(2, 10), &early));
    let [dialer, listener] = meet(&one, &two).await.unwrap_err();
    assert!(refusal(&listener).contains("has expired"), "{listener:?}");
    let why = refusal(&dialer);
    assert!(why.contains("(serial 0A0A)") && why.contains("are the clocks of both right?"), "{why}");
}
