//! Who belongs to a group: certificates of all kinds, on both sides, exchanged while nodes run. Whatever strangers show, the group goes on.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rcgen::{ExtendedKeyUsagePurpose, date_time_ymd};
use snapshot_core::{NodeId, Transport};
use snapshot_transport_tcp::{BindError, CertificateError, Certificates};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::common::authority::{Authority, Shown, acceptor, dial, self_signed};
use crate::common::*;

const LONG: Duration = Duration::from_secs(60);

/// Node `me` of the group of nodes 1 to 3, with the certificate it should have.
async fn node(authority: &Authority, me: u64, peers: &[(u64, String)]) -> Tcp {
    node_with(authority.certificates("test", me), me, peers).await
}

async fn node_with(certificates: Certificates, me: u64, peers: &[(u64, String)]) -> Tcp {
    let peers = peers.iter().map(|(id, at)| (NodeId(*id), at.clone()));
    builder(mesh(&[1, 2, 3], me)).peers(peers).tls(certificates).bind().await.unwrap()
}

/// Nodes 1 and 3, connected. Node 2 is missing.
async fn one_and_three(authority: &Authority) -> (Tcp, Tcp) {
    let one = node(authority, 1, &[]).await;
    let three = node(authority, 3, &[(1, address(&one)), (2, "127.0.0.1:9".to_owned())]).await;
    (one, three)
}

/// The group goes on: what node 3 sends arrives at node 1.
async fn goes_on(ear: &mut Ear<'_>, three: &Tcp, number: u64) {
    three.send(peer(three, 1), &mut frames([message(number, 100)])).await.unwrap();
    assert_eq!(ear.number(3).await, number);
}

/// The bytes of a greeting of node 2, and what comes back: a refusal in words, or the error in which the connection ends.
async fn greet(
    stream: &mut (impl tokio::io::AsyncRead + AsyncWriteExt + Unpin),
    me: u64,
) -> io::Result<String> {
    stream.write_all(&handshake(VERSION, HELLO, &account(&mesh(&[1, 2, 3], me), 1, 4096))).await?;
    stream.flush().await?;
    let mut prefix = [0; 9];
    stream.read_exact(&mut prefix).await?;
    let mut payload = vec![0; usize::from(u16::from_le_bytes([prefix[7], prefix[8]]))];
    stream.read_exact(&mut payload).await?;
    match prefix[6] {
        REFUSAL => Ok(String::from_utf8(payload).unwrap()),
        WELCOME => Ok("welcome".to_owned()),
        other => panic!("step {other}"),
    }
}

/// What a stranger in the place of node 2 may show, and what is said of it.
fn wrong(authority: &Authority) -> Vec<(&'static str, Option<Shown>, &'static str)> {
    let other = Authority::new();
    let expired = |params: &mut rcgen::CertificateParams| params.not_after = date_time_ymd(2020, 2, 3);
    let early = |params: &mut rcgen::CertificateParams| params.not_before = date_time_ymd(3020, 2, 3);
    let web = |params: &mut rcgen::CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    };
    let nameless = |params: &mut rcgen::CertificateParams| params.subject_alt_names.clear();
    vec![
        ("nothing", None, "no certificate was shown"),
        (
            "an expired one",
            Some(authority.sign("test", 2, expired)),
            "has expired: it was valid until 2020-02-03T00:00:00Z",
        ),
        (
            "one of the future",
            Some(authority.sign("test", 2, early)),
            "is not valid before 3020-02-03T00:00:00Z",
        ),
        ("a self-signed one", Some(self_signed("test", 2)), "was not signed by an authority of this group"),
        (
            "another authority's",
            Some(other.sign("test", 2, |_| {})),
            "was not signed by an authority of this group",
        ),
        ("one for other uses", Some(authority.sign("test", 2, web)), "must name clientAuth and serverAuth"),
        ("another group's", Some(authority.sign("other", 2, |_| {})), "snapshot://other/node/2"),
        (
            "another node's",
            Some(authority.sign("test", 3, |_| {})),
            "does not stand for snapshot://test/node/2",
        ),
        (
            "one without a name",
            Some(authority.sign("test", 2, nameless)),
            "a certificate without a node's name",
        ),
    ]
}

#[tokio::test]
async fn nodes_that_prove_who_they_are_meet_and_part() {
    guarded(async {
        let authority = Authority::new();
        let (one, three) = one_and_three(&authority).await;
        let (mut ear, mut other) = (Ear::new(&one), Ear::new(&three));
        ear.up(3).await;
        other.up(1).await;
        goes_on(&mut ear, &three, 1).await;
        // More than a session keeps, and both ways at a time.
        let (mut out, mut back) = (frames([message(2, 3_000_000)]), frames([message(7, 3_000_000)]));
        let (sent, sent_back, number, number_back) = tokio::join!(
            three.send(peer(&three, 1), &mut out),
            one.send(peer(&one, 3), &mut back),
            ear.number(3),
            other.number(1)
        );
        sent.unwrap();
        sent_back.unwrap();
        assert_eq!((number, number_back), (2, 7));
        let (closed, ()) = tokio::join!(three.close(), ear.left(3));
        closed.unwrap();
    })
    .await;
}

#[tokio::test]
async fn nothing_of_what_is_sent_can_be_read_on_the_way() {
    guarded(async {
        let authority = Authority::new();
        let one = node(&authority, 1, &[]).await;
        // A relay that writes down all that passes.
        let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, to) = (relay.local_addr().unwrap(), one.local_addr().unwrap());
        let three = node(&authority, 3, &[(1, at.to_string()), (2, "127.0.0.1:9".to_owned())]).await;
        let passed = tokio::spawn(async move {
            let (mut from, _) = relay.accept().await.unwrap();
            let mut to = TcpStream::connect(to).await.unwrap();
            let (mut all, mut some, mut other) = (Vec::new(), [0; 4096], [0; 4096]);
            loop {
                tokio::select! {
                    read = from.read(&mut some) => match read {
                        Ok(count) if count > 0 => {
                            all.extend_from_slice(&some[..count]);
                            to.write_all(&some[..count]).await.unwrap();
                        }
                        _ => return all,
                    },
                    Ok(count) = to.read(&mut other) => {
                        all.extend_from_slice(&other[..count]);
                        if from.write_all(&other[..count]).await.is_err() { return all }
                    }
                }
            }
        });
        let mut ear = Ear::new(&one);
        ear.up(3).await;
        goes_on(&mut ear, &three, 65).await;
        drop(three);
        let passed = passed.await.unwrap();
        assert!(passed.len() > 1000);
        for text in [&b"test"[..], b"SNP", &[65; 20], b"snapshot:"] {
            assert!(!passed.windows(text.len()).any(|window| window == text), "{text:?} passed by");
        }
    })
    .await;
}

#[tokio::test]
async fn whoever_dials_with_a_wrong_certificate_is_turned_away_and_the_group_goes_on() {
    guarded(async {
        let authority = Authority::new();
        let (one, three) = one_and_three(&authority).await;
        let mut ear = Ear::new(&one);
        ear.up(3).await;
        for (number, (what, shown, why)) in wrong(&authority).into_iter().enumerate() {
            let outcome = match dial(one.local_addr().unwrap(), shown.as_ref()).await {
                Ok(mut stream) => greet(&mut stream, 2).await,
                Err(error) => Err(error),
            };
            match outcome {
                // The TLS handshake fails; all there is to say is a word of the standard.
                Err(error) => assert!(error.to_string().contains("alert"), "{what}: {error}"),
                Ok(refusal) => assert!(refusal.contains(why), "{what}: {refusal}"),
            }
            let told = reason(&one, why).await;
            assert!(told.contains("somebody at 127.0.0.1 was refused"), "{what}: {told}");
            goes_on(&mut ear, &three, number as u64 + 1).await;
        }
        // The right one is taken.
        let two = node(&authority, 2, &[(1, address(&one))]).await;
        ear.up(2).await;
        drop(two);
    })
    .await;
}

#[tokio::test]
async fn whoever_is_dialed_and_shows_a_wrong_certificate_learns_nothing_and_is_left() {
    guarded(async {
        let authority = Authority::new();
        for (what, shown, why) in wrong(&authority) {
            // Here it stands for node 1, which node 3 dials.
            let Some(shown) = shown else { continue };
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let at = listener.local_addr().unwrap().to_string();
            let three = node(&authority, 3, &[(1, at), (2, "127.0.0.1:9".to_owned())]).await;
            let why = why.replace("stand for snapshot://test/node/2", "stand for snapshot://test/node/1");
            let acceptor = acceptor(&shown);
            let answer = async {
                loop {
                    let (socket, _) = listener.accept().await.unwrap();
                    let Ok(mut stream) = acceptor.accept(socket).await else { continue };
                    let mut heard = Vec::new();
                    let _ = stream.read_to_end(&mut heard).await;
                    let refusal = heard.is_empty() || heard[6] == REFUSAL;
                    assert!(refusal, "{what}: it was told {heard:?}");
                }
            };
            let told = tokio::select! {
                told = reason(&three, &why) => told,
                () = answer => unreachable!(),
            };
            assert!(told.contains("n1 at 127.0.0.1:") && told.contains("was refused"), "{what}: {told}");
        }
    })
    .await;
}

#[tokio::test]
async fn whoever_says_that_it_is_another_node_than_its_certificate_is_told_and_blames_nobody() {
    guarded(async {
        let authority = Authority::new();
        let (one, three) = one_and_three(&authority).await;
        let mut ear = Ear::new(&one);
        ear.up(3).await;
        let shown = authority.sign("test", 2, |_| {});
        let mut stream = dial(one.local_addr().unwrap(), Some(&shown)).await.unwrap();
        let refusal = greet(&mut stream, 3).await.unwrap();
        assert!(refusal.contains("does not stand for snapshot://test/node/3"), "{refusal}");
        let told = reason(&one, "does not stand for snapshot://test/node/3").await;
        assert!(told.contains("n2 has never dialed this node"), "{told}");
        goes_on(&mut ear, &three, 1).await;
        // Its own name it may use.
        let mut stream = dial(one.local_addr().unwrap(), Some(&shown)).await.unwrap();
        assert_eq!(greet(&mut stream, 2).await.unwrap(), "welcome");
    })
    .await;
}

#[tokio::test]
async fn a_node_is_not_begun_with_a_certificate_that_others_would_refuse() {
    let authority = Authority::new();
    for (what, shown, why) in wrong(&authority) {
        let Some(shown) = shown else { continue };
        let bound = builder(mesh(&[1, 2, 3], 2)).peer(NodeId(1), "127.0.0.1:9").tls(authority.take(&shown));
        match bound.bind().await {
            Err(error @ BindError::Certificates { .. }) => {
                let text = error.to_string();
                assert!(text.contains(why), "{what}: {text}");
            }
            other => panic!("{what}: {other:?}"),
        }
    }
    let unnamed = graph("", &[1, 2]).at(NodeId(1)).unwrap();
    let error = builder(unnamed).tls(authority.certificates("", 1)).bind().await.unwrap_err();
    assert!(
        matches!(error, BindError::Certificates { source: CertificateError::UnnamedGroup, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn certificates_are_exchanged_under_a_node_that_runs() {
    guarded(async {
        let (old, new) = (Authority::new(), Authority::new());
        let (one, three) = one_and_three(&old).await;
        let at = one.local_addr().unwrap();
        let mut ear = Ear::new(&one);
        ear.up(3).await;
        let handle = one.certificates().unwrap();
        // A newer one of the same authority is what the next dialer sees.
        let newer = old.sign("test", 1, |params| params.serial_number = Some(vec![7, 7, 7].into()));
        handle.replace(old.take(&newer)).unwrap();
        assert!(serial(at).await.ends_with(&[7, 7, 7]));
        goes_on(&mut ear, &three, 1).await;

        // What others would refuse is not taken, and the one before stays.
        for (what, shown, _) in wrong(&old) {
            if let Some(shown) = shown {
                assert!(handle.replace(old.take(&shown)).is_err(), "{what}");
            }
        }
        assert!(serial(at).await.ends_with(&[7, 7, 7]));

        // Another authority: who is connected stays, who comes with the old one is refused, who comes with the new one is taken.
        handle.replace(new.certificates("test", 1)).unwrap();
        goes_on(&mut ear, &three, 2).await;
        let late = node(&old, 2, &[(1, address(&one))]).await;
        let told = reason(&late, "was not signed by an authority of this group").await;
        assert!(told.contains("n1 at"), "{told}");
        drop(late);
        let _two = node(&new, 2, &[(1, address(&one))]).await;
        ear.up(2).await;
        goes_on(&mut ear, &three, 3).await;
    })
    .await;
}

/// The serial number of the certificate that is shown there.
async fn serial(at: SocketAddr) -> Vec<u8> {
    let stream = dial(at, None).await.unwrap();
    let shown = stream.get_ref().1.peer_certificates().unwrap();
    webpki::EndEntityCert::try_from(&shown[0]).unwrap().serial().to_vec()
}

#[tokio::test]
async fn encrypted_and_plain_do_not_meet_and_both_say_why() {
    guarded(async {
        let authority = Authority::new();
        let encrypted = |me| builder(mesh(&[1, 2], me)).tls(authority.certificates("test", me));
        let plain = |me| builder(mesh(&[1, 2], me));
        let takes = "n1 takes encrypted connections alone";
        let one = encrypted(1).bind().await.unwrap();
        let two = plain(2).peer(NodeId(1), address(&one)).bind().await.unwrap();
        reason(&two, takes).await;
        reason(&one, takes).await;
        drop(two);
        let two = encrypted(2).peer(NodeId(1), address(&one)).bind().await.unwrap();
        two.connected(LONG).await.unwrap();

        let one = plain(1).bind().await.unwrap();
        let two = encrypted(2).peer(NodeId(1), address(&one)).bind().await.unwrap();
        reason(&two, "n2 takes encrypted connections alone").await;
        reason(&one, "n1 has no certificates, and the other side wants an encrypted connection").await;
    })
    .await;
}

#[tokio::test]
async fn where_certificates_are_given_nothing_has_to_stay_inside_the_machine() {
    let authority = Authority::new();
    let two = builder(mesh(&[1, 2], 2)).peer(NodeId(1), "no such host:1");
    two.tls(authority.certificates("test", 2)).bind().await.unwrap();
}

#[tokio::test]
async fn nothing_secret_is_shown() {
    let authority = Authority::new();
    let shown = authority.sign("test", 1, |_| {});
    let certificates = authority.take(&shown);
    let builder = builder(mesh(&[1, 2], 1)).tls(certificates.clone());
    let texts = [format!("{certificates:?}"), format!("{builder:?}")];
    let transport = builder.bind().await.unwrap();
    let handle = transport.certificates().unwrap();
    let mut texts = texts.to_vec();
    texts.extend([format!("{transport:?}"), format!("{handle:?}")]);
    let wrong_key = self_signed("test", 1).key;
    texts.push(Certificates::from_pem(&shown.chain, &wrong_key, authority.pem()).unwrap_err().to_string());
    texts.push(
        Certificates::from_pem(&shown.chain, &wrong_key[..90], authority.pem()).unwrap_err().to_string(),
    );
    for text in texts {
        for key in [&shown.key, &wrong_key] {
            let lines = key.lines().filter(|line| !line.starts_with('-'));
            for line in lines {
                assert!(!text.contains(&line[..line.len().min(16)]), "{text}");
            }
        }
    }
}

#[test]
fn texts_that_hold_no_certificates_are_refused_with_what_is_missing() {
    let authority = Authority::new();
    let shown = authority.sign("test", 1, |_| {});
    let other = authority.sign("test", 1, |_| {});
    let read = |chain: &str, key: &str, roots: &str| {
        Certificates::from_pem(chain, key, roots).unwrap_err().to_string()
    };
    let pem = authority.pem();
    assert!(read("", &shown.key, &pem).starts_with("the node's certificate cannot be read"));
    assert!(read(&shown.key, &shown.key, &pem).starts_with("the node's certificate cannot be read"));
    assert!(read(&shown.chain, &shown.chain, &pem).starts_with("the private key cannot be read"));
    assert!(read(&shown.chain, &shown.key, "").starts_with("the authorities' certificate cannot be read"));
    assert!(read(&shown.chain, &other.key, &pem).starts_with("the private key does not go with"));
    let broken = shown.chain.replace("MII", "!!!");
    assert!(read(&broken, &shown.key, &pem).starts_with("the node's certificate cannot be read"));
}
