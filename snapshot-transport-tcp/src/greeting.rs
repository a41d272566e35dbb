//! The handshake over a socket: each side's steps, in order. What is right is decided by [`handshake`](crate::handshake).
//!
//! # Cancel safety
//!
//! None: where one of these futures is dropped before it is done, the socket is of no more use.

use std::io;
use std::time::Duration;

use snapshot_core::{Life, NodeId, Peer};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::error::LastSeen;
use crate::handshake::{
    Disagreement, Hello, Identity, PREFIX, Place, Prefix, Step, accept, is_tls, refusal, refusal_text,
};

/// How much of what a stranger still sends is read so that the refusal reaches it.
const LEFTOVER: u64 = 64 * 1024;
/// Why there is no connection where both sides were too slow.
const OVER: &str = "the time in which its connection could be resumed is over";
/// How long that may take.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Both sides agree.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) peer: Peer,
    /// The longest frame that the other side takes.
    pub(crate) max_frame: usize,
    /// Which process it is.
    pub(crate) life: Life,
    /// The session, or 0 where it will not be resumed.
    pub(crate) session: u64,
    /// Where it is resumed, how many bytes of it the other side has.
    pub(crate) resumed: Option<u64>,
}

/// What a handshake has to know of the sessions on this side, and does to them.
pub(crate) trait Sessions {
    /// Which process of a neighbour has the connection, if one stands.
    fn standing(&self, peer: Peer) -> Option<Life>;

    /// The session with a neighbour that could be resumed, or 0.
    fn resumable(&self, node: NodeId) -> u64;

    /// Ends the connection that this session has, if it has one, since the neighbour knows of it and is here anew. Gives how many bytes
    /// have come; nothing where it cannot be resumed.
    fn retire(&self, peer: Peer, session: u64) -> Option<u64>;

    /// The number of a new session, or 0.
    fn draw(&self) -> u64;
}

/// There will be no connection.
#[derive(Debug)]
pub(crate) struct Failed {
    /// Who the other side said that it is, if it came to that.
    pub(crate) claimed: Option<NodeId>,
    pub(crate) why: Why,
}

#[derive(Debug, Error)]
pub(crate) enum Why {
    /// This side refused.
    #[error("{0}")]
    Refused(#[from] Disagreement),
    /// The other side refused; its words.
    #[error("{0}")]
    RefusedByPeer(String),
    #[error("the connection broke during the handshake ({0})")]
    Broken(#[from] io::Error),
    #[error("the handshake was not done in time")]
    TooSlow,
}

impl Failed {
    /// Whether one side looked at the other and said no: something for a person to correct.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.why, Why::Refused(_) | Why::RefusedByPeer(_))
    }

    pub(crate) fn last_seen(&self) -> LastSeen {
        let why = self.why.to_string();
        if self.is_refusal() { LastSeen::Refused { why } } else { LastSeen::Unreachable { why } }
    }

    /// The reason, without what differs from one time to the next: how a broken connection shows depends on who was faster.
    pub(crate) fn sort(&self) -> String {
        match &self.why {
            Why::Broken(_) => "broken".to_owned(),
            why => why.to_string(),
        }
    }

    /// Tells the other side why not, and closes.
    pub(crate) async fn tell(&self, mut socket: impl AsyncRead + AsyncWrite + Unpin) {
        let Why::Refused(disagreement) = &self.why else { return };
        let refusal = refusal(&disagreement.to_string());
        if let Ok(Ok(())) = timeout(LAST_WORD, socket.write_all(&refusal)).await {
            part(socket).await;
        }
    }
}

/// Closes when the other side has had the chance to read what it was told: to close with unread bytes would reset the connection and
/// could take the last word with it.
pub(crate) async fn part(mut socket: impl AsyncRead + AsyncWrite + Unpin) {
    let parted = async {
        socket.shutdown().await?;
        tokio::io::copy(&mut socket.take(LEFTOVER), &mut tokio::io::sink()).await
    };
    let _: Result<io::Result<u64>, _> = timeout(LAST_WORD, parted).await;
}

/// Whether somebody who has dialed begins with a greeting in plain text.
#[cfg(feature = "tls")]
pub(crate) async fn begins_plainly(socket: &tokio::net::TcpStream) -> io::Result<bool> {
    let mut first = [0];
    match socket.peek(&mut first).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(crate::handshake::is_greeting(first[0])),
    }
}

/// The side that dialed. `vouch` says whether the other side may speak for a node, and `claimed` becomes who it says that it is, once
/// that is vouched for.
pub(crate) async fn greet(
    socket: &mut (impl AsyncRead + AsyncWrite + Unpin),
    us: &Identity,
    sessions: &impl Sessions,
    wanted: NodeId,
    vouch: impl Fn(NodeId) -> Result<(), Disagreement>,
    claimed: &mut Option<NodeId>,
) -> Result<Agreed, Why> {
    // Before it learns anything of this side.
    vouch(wanted)?;
    let known = sessions.resumable(wanted);
    say(socket, &us.hello(wanted, known)).await?;
    let welcome = hear(socket, us, Step::Welcome, vouch, claimed).await?;
    let peer = us.check_listener(wanted, &welcome)?;
    let offered = welcome.place;
    let resumed = known != 0 && offered.session == known;
    let place = if resumed {
        // The other side is the same as before: what has not come by now it sends again.
        let received = sessions.retire(peer, known).ok_or(Why::Broken(io::Error::other(OVER)))?;
        Place { session: known, received }
    } else {
        // 0 where either side does not resume.
        Place { session: if sessions.draw() == 0 { 0 } else { offered.session }, received: 0 }
    };
    say(socket, &accept(place)).await?;
    let (session, resumed) = (place.session, resumed.then_some(offered.received));
    Ok(Agreed { peer, max_frame: welcome.max_frame as usize, life: welcome.life, session, resumed })
}

/// The side that was dialed.
pub(crate) async fn receive(
    socket: &mut (impl AsyncRead + AsyncWrite + Unpin),
    us: &Identity,
    sessions: &impl Sessions,
    vouch: impl Fn(NodeId) -> Result<(), Disagreement>,
    claimed: &mut Option<NodeId>,
) -> Result<Agreed, Why> {
    let hello = hear(socket, us, Step::Hello, vouch, claimed).await?;
    let peer = us.check_dialer(&hello, |peer| sessions.standing(peer))?;
    let wanted = hello.place.session;
    let received = if wanted == 0 { None } else { sessions.retire(peer, wanted) };
    let place = match received {
        Some(received) => Place { session: wanted, received },
        None => Place { session: sessions.draw(), received: 0 },
    };
    say(socket, &us.welcome(hello.from, place)).await?;
    let (prefix, payload) = read(socket, us.topology.me()).await?;
    if prefix.step != Step::Accept {
        return Err(Disagreement::Protocol("a message out of turn").into());
    }
    let accepted = Place::accepted(&payload, place.session)?;
    let (session, resumed) = (accepted.session, received.map(|_| accepted.received));
    Ok(Agreed { peer, max_frame: hello.max_frame as usize, life: hello.life, session, resumed })
}

async fn say(socket: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> io::Result<()> {
    socket.write_all(message).await?;
    socket.flush().await
}

async fn hear(
    socket: &mut (impl AsyncRead + Unpin),
    us: &Identity,
    step: Step,
    vouch: impl Fn(NodeId) -> Result<(), Disagreement>,
    claimed: &mut Option<NodeId>,
) -> Result<Hello, Why> {
    let me = us.topology.me();
    let (prefix, payload) = read(socket, me).await?;
    if let Some(sender) = Hello::sender(&payload) {
        vouch(sender)?;
        *claimed = Some(sender);
    }
    let hello = Hello::read(me, prefix.version, &payload)?;
    // A dialer that is answered with a HELLO speaks with a dialer: itself, if the system gave it the port it dials.
    match prefix.step {
        found if found == step => Ok(hello),
        Step::Hello if hello.from == me => Err(Disagreement::SameNode { me }.into()),
        _ => Err(Disagreement::Protocol("a message out of turn").into()),
    }
}

/// One message; a refusal is an error. Reads not one byte more, for frames may follow, and takes memory as bytes come.
async fn read(socket: &mut (impl AsyncRead + Unpin), me: NodeId) -> Result<(Prefix, Vec<u8>), Why> {
    let mut bytes = [0; PREFIX];
    socket.read_exact(&mut bytes).await?;
    let prefix = Prefix::read(&bytes)
        .map_err(|error| if is_tls(&bytes) { Disagreement::Encrypted { me } } else { error })?;
    let mut payload = Vec::new();
    socket.take(prefix.len as u64).read_to_end(&mut payload).await?;
    if payload.len() < prefix.len {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    match prefix.step {
        Step::Refusal => Err(Why::RefusedByPeer(refusal_text(&payload))),
        _ => Ok((prefix, payload)),
    }
}
