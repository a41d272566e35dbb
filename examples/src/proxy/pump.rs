//! One connection through a link: two directions, and what becomes of them under the faults of the link.

use std::io;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::sleep;

use super::faults::{LinkFault, Way};
use super::route::{Route, Setting};

/// What is read at a time. What a link holds beside it is in the buffers of the system.
const BUFFER: usize = 16 << 10;

/// How a connection has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// Both sides have closed it, one after the other.
    Closed,
    /// The link closes it.
    Cut,
    /// The link resets it, or one side has.
    Reset,
}

/// Carries a connection to where the link leads, until it ends.
pub(super) async fn carry(mut incoming: TcpStream, mut route: Route) {
    let Setting { target, fault, breaks } = *route.setting.borrow_and_update();
    if fault.severs() {
        if fault == LinkFault::Reset {
            reset(&incoming);
        }
        return;
    }
    // Where nobody listens the connection is closed again: as good as refused.
    let Ok(mut outgoing) = TcpStream::connect(target).await else { return };
    // Each piece shall leave as it is.
    if incoming.set_nodelay(true).and(outgoing.set_nodelay(true)).is_err() {
        return;
    }
    match join(&mut incoming, &mut outgoing, route, breaks).await {
        End::Closed | End::Cut => {}
        End::Reset => [&incoming, &outgoing].into_iter().for_each(reset),
    }
}

/// Dropping this stream resets the connection.
fn reset(stream: &TcpStream) {
    // Fails only where the connection is gone already.
    let _ = stream.set_zero_linger();
}

async fn join(one: &mut TcpStream, other: &mut TcpStream, route: Route, breaks: u64) -> End {
    let (one_reads, one_writes) = one.split();
    let (other_reads, other_writes) = other.split();
    let forth = pump(one_reads, other_writes, Way::Forth, route.clone());
    let back = pump(other_reads, one_writes, Way::Back, route.clone());
    let both = futures::future::try_join(forth, back);
    tokio::pin!(both);
    let mut setting = route.setting;
    loop {
        tokio::select! {
            ended = &mut both => return if ended.is_ok() { End::Closed } else { End::Reset },
            changed = setting.changed() => {
                let now = *setting.borrow_and_update();
                if now.breaks > breaks || changed.is_err() {
                    return if now.fault == LinkFault::Cut { End::Cut } else { End::Reset };
                }
            }
        }
    }
}

/// Carries bytes in one direction, to the end of the stream.
async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, way: Way, mut route: Route) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer).await;
        // What is read while the fault lasts vanishes, an end and an error like everything else.
        if route.setting.borrow_and_update().fault.swallows(way) {
            return swallow(read, from, buffer, way, route).await;
        }
        let count = read?;
        if count == 0 {
            return to.shutdown().await;
        }
        hand_on(&buffer[..count], &mut to, &route.setting).await?;
    }
}

/// Lets vanish what comes. Returns when the fault is over: what came next would arrive in the place of what has vanished, so the
/// connection is reset.
async fn swallow(
    mut read: io::Result<usize>,
    mut from: ReadHalf<'_>,
    mut buffer: Vec<u8>,
    way: Way,
    mut route: Route,
) -> io::Result<()> {
    loop {
        if let Ok(count) = read {
            route.swallowed.fetch_add(count as u64, Ordering::Relaxed);
        }
        let open = matches!(read, Ok(1..));
        loop {
            tokio::select! {
                more = from.read(&mut buffer), if open => {
                    read = more;
                    break;
                }
                changed = route.setting.changed() => {
                    if changed.is_err() || !route.setting.borrow_and_update().fault.swallows(way) {
                        return Err(io::ErrorKind::ConnectionReset.into());
                    }
                }
            }
        }
    }
}

/// Writes bytes at the pace of the link, which may change meanwhile.
async fn hand_on(
    mut bytes: &[u8],
    to: &mut WriteHalf<'_>,
    setting: &watch::Receiver<Setting>,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let pace = setting.borrow().fault.pace();
        if !pace.pause.is_zero() {
            sleep(pace.pause).await;
        }
        let (piece, rest) = bytes.split_at(bytes.len().min(pace.piece));
        to.write_all(piece).await?;
        bytes = rest;
    }
    Ok(())
}
