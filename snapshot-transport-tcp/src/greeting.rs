//! The handshake over a socket: each side's steps, in order. What is right is decided by [`handshake`](crate::handshake).
//!
//! # Cancel safety
//!
//! None: where one of these futures is dropped before it is done, the socket is of no more use.

use std::io;
use std::time::Duration;

use snapshot_core::{NodeId, Peer};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::LastSeen;
use crate::handshake::{Disagreement, Hello, Identity, PREFIX, Prefix, Step, accept, refusal, refusal_text};

/// How much of what a stranger still sends is read so that the refusal reaches it.
const LEFTOVER: u64 = 64 * 1024;
/// How long that may take.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Both sides agree.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) peer: Peer,
    /// The longest frame that the other side takes.
    pub(crate) max_frame: usize,
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

    /// Tells the other side why not. Best effort: it may be gone, and this side's account does not depend on it.
    pub(crate) async fn tell(&self, mut socket: TcpStream) {
        let Why::Refused(disagreement) = &self.why else { return };
        let told = async {
            socket.write_all(&refusal(&disagreement.to_string())).await?;
            socket.shutdown().await?;
            // To close with unread bytes would reset the connection and could take the refusal with it.
            tokio::io::copy(&mut socket.take(LEFTOVER), &mut tokio::io::sink()).await
        };
        let _: Result<io::Result<u64>, _> = timeout(LAST_WORD, told).await;
    }
}

/// The side that dialed.
pub(crate) async fn greet(
    socket: &mut TcpStream,
    us: &Identity,
    wanted: NodeId,
    within: Duration,
) -> Result<Agreed, Failed> {
    let mut claimed = None;
    let steps = async {
        socket.write_all(&us.hello(wanted)).await?;
        let welcome = hear(socket, us, Step::Welcome, &mut claimed).await?;
        let peer = us.check_listener(wanted, &welcome)?;
        socket.write_all(&accept()).await?;
        Ok(Agreed { peer, max_frame: welcome.max_frame as usize })
    };
    let result = timeout(within, steps).await.unwrap_or(Err(Why::TooSlow));
    result.map_err(|why| Failed { claimed, why })
}

/// The side that was dialed.
pub(crate) async fn receive(
    socket: &mut TcpStream,
    us: &Identity,
    within: Duration,
) -> Result<Agreed, Failed> {
    let mut claimed = None;
    let steps = async {
        let hello = hear(socket, us, Step::Hello, &mut claimed).await?;
        let peer = us.check_dialer(&hello)?;
        socket.write_all(&us.welcome(hello.from)).await?;
        let (prefix, _) = read(socket).await?;
        match prefix.step {
            Step::Accept => Ok(Agreed { peer, max_frame: hello.max_frame as usize }),
            _ => Err(Disagreement::Protocol("a message out of turn").into()),
        }
    };
    let result = timeout(within, steps).await.unwrap_or(Err(Why::TooSlow));
    result.map_err(|why| Failed { claimed, why })
}

async fn hear(
    socket: &mut TcpStream,
    us: &Identity,
    step: Step,
    claimed: &mut Option<NodeId>,
) -> Result<Hello, Why> {
    let (prefix, payload) = read(socket).await?;
    let me = us.topology.me();
    *claimed = Hello::sender(&payload);
    let hello = Hello::read(me, prefix.version, &payload)?;
    // A dialer that is answered with a HELLO speaks with a dialer: itself, if the system gave it the port it dials.
    match prefix.step {
        found if found == step => Ok(hello),
        Step::Hello if hello.from == me => Err(Disagreement::SameNode { me }.into()),
        _ => Err(Disagreement::Protocol("a message out of turn").into()),
    }
}

/// One message; a refusal is an error. Reads not one byte more, for frames may follow.
async fn read(socket: &mut TcpStream) -> Result<(Prefix, Vec<u8>), Why> {
    let mut bytes = [0; PREFIX];
    socket.read_exact(&mut bytes).await?;
    let prefix = Prefix::read(&bytes)?;
    let mut payload = vec![0; prefix.len];
    socket.read_exact(&mut payload).await?;
    match prefix.step {
        Step::Refusal => Err(Why::RefusedByPeer(refusal_text(&payload))),
        _ => Ok((prefix, payload)),
    }
}
