//! From a socket to a connection: TLS where the node has certificates, then the greeting, all within one limit of time.
//!
//! # Cancel safety
//!
//! Dropping one of these futures closes the socket.

use snapshot_core::NodeId;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::greeting::{Agreed, Failed, Sessions, Why, greet, receive};
use crate::shared::Shared;
use crate::stream::Stream;

/// What is left of a connection that did not come about.
#[derive(Debug)]
pub(crate) enum Remains {
    /// The other side can be told why not.
    Untold(Box<Stream>),
    /// TLS has told it already, if not in words.
    #[cfg(feature = "tls")]
    Told(TcpStream),
    Nothing,
}

/// There will be no connection.
#[derive(Debug)]
pub(crate) struct TurnedAway {
    pub(crate) failed: Failed,
    remains: Remains,
}

type Entered = Result<(Stream, Agreed), (Why, Remains)>;

impl TurnedAway {
    /// Says why not, and closes. Best effort: the other side may be gone, and this side's account does not depend on it.
    pub(crate) async fn part(self) {
        match self.remains {
            Remains::Untold(stream) => self.failed.tell(*stream).await,
            #[cfg(feature = "tls")]
            Remains::Told(socket) => crate::greeting::part(socket).await,
            Remains::Nothing => {}
        }
    }
}

/// The side that dialed.
pub(crate) async fn dialed(
    shared: &Shared,
    socket: TcpStream,
    number: u64,
    wanted: NodeId,
) -> Result<(Stream, Agreed), TurnedAway> {
    let mut claimed = None;
    let sessions = shared.sessions(number);
    let entering = enter_as_dialer(shared, &sessions, socket, wanted, &mut claimed);
    let entered = timeout(shared.timing.handshake, entering).await;
    judged(entered, claimed)
}

/// The side that was dialed.
pub(crate) async fn taken(
    shared: &Shared,
    socket: TcpStream,
    number: u64,
) -> Result<(Stream, Agreed), TurnedAway> {
    let mut claimed = None;
    let sessions = shared.sessions(number);
    let entering = enter_as_listener(shared, &sessions, socket, &mut claimed);
    let entered = timeout(shared.timing.handshake, entering).await;
    judged(entered, claimed)
}

fn judged<T>(
    entered: Result<Result<T, (Why, Remains)>, tokio::time::error::Elapsed>,
    claimed: Option<NodeId>,
) -> Result<T, TurnedAway> {
    entered
        .unwrap_or(Err((Why::TooSlow, Remains::Nothing)))
        .map_err(|(why, remains)| TurnedAway { failed: Failed { claimed, why }, remains })
}

async fn enter_as_dialer(
    shared: &Shared,
    sessions: &impl Sessions,
    mut socket: TcpStream,
    wanted: NodeId,
    claimed: &mut Option<NodeId>,
) -> Entered {
    #[cfg(feature = "tls")]
    if let Some(tls) = &shared.tls {
        let mut stream = tls.connect(socket).await.map_err(told)?;
        let shown = stream.shown();
        let vouch = |node| tls.vouch(&shown, node);
        let agreed = greet(&mut stream, &shared.identity, sessions, wanted, vouch, claimed).await;
        return inside(tls, stream, agreed);
    }
    let agreed = greet(&mut socket, &shared.identity, sessions, wanted, |_| Ok(()), claimed).await;
    outcome(Stream::Plain(socket), agreed)
}

async fn enter_as_listener(
    shared: &Shared,
    sessions: &impl Sessions,
    mut socket: TcpStream,
    claimed: &mut Option<NodeId>,
) -> Entered {
    #[cfg(feature = "tls")]
    if let Some(tls) = &shared.tls {
        match crate::greeting::begins_plainly(&socket).await {
            Ok(false) => {}
            Ok(true) => {
                let refused =
                    crate::handshake::Disagreement::Unencrypted { me: shared.identity.topology.me() };
                return Err((refused.into(), Remains::Untold(Stream::Plain(socket).into())));
            }
            Err(error) => return Err((error.into(), Remains::Nothing)),
        }
        let mut stream = tls.accept(socket).await.map_err(told)?;
        let shown = stream.shown();
        let vouch = |node| tls.vouch(&shown, node);
        let agreed = receive(&mut stream, &shared.identity, sessions, vouch, claimed).await;
        return inside(tls, stream, agreed);
    }
    let agreed = receive(&mut socket, &shared.identity, sessions, |_| Ok(()), claimed).await;
    outcome(Stream::Plain(socket), agreed)
}

fn outcome(stream: Stream, agreed: Result<Agreed, Why>) -> Entered {
    match agreed {
        Ok(agreed) => Ok((stream, agreed)),
        Err(why) => Err((why, Remains::Untold(stream.into()))),
    }
}

#[cfg(feature = "tls")]
fn inside(
    tls: &crate::tls::Tls,
    stream: crate::tls::stream::TlsStream,
    agreed: Result<Agreed, Why>,
) -> Entered {
    // The side that dialed learns only here that what it has shown was not taken.
    let agreed = agreed.map_err(|why| match why {
        Why::Broken(error) => tls.explain(error),
        why => why,
    });
    outcome(Stream::Tls(Box::new(stream)), agreed)
}

#[cfg(feature = "tls")]
fn told((why, socket): (Why, TcpStream)) -> (Why, Remains) {
    (why, Remains::Told(socket))
}
