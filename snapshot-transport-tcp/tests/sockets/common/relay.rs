//! A relay between two nodes that cuts, resets, stalls and goes silent where it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// How one connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// Both sides see an end.
    Close,
    /// Both sides see a reset.
    Reset,
    /// The side that dialed sees the end, and the other one nothing.
    HalfOpen,
}

/// What becomes of the next connection: after so many bytes in one direction it comes to this end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    pub(crate) from_dialer: bool,
    pub(crate) after: usize,
    pub(crate) end: End,
}

/// A relay. `fates` are taken one for each connection; without one it goes on for ever.
pub(crate) struct Relay {
    pub(crate) at: SocketAddr,
    pub(crate) fates: Arc<Mutex<Vec<Fate>>>,
    pub(crate) connections: Arc<Mutex<JoinSet<()>>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Relay {
    pub(crate) async fn start(to: SocketAddr, fates: Vec<Fate>) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), to, fates)
    }

    /// Where another one was, which has stopped.
    pub(crate) async fn start_at(at: SocketAddr, to: SocketAddr) -> Self {
        Self::on(TcpListener::bind(at).await.unwrap(), to, vec![])
    }

    fn on(port: TcpListener, to: SocketAddr, mut fates: Vec<Fate>) -> Self {
        let at = port.local_addr().unwrap();
        fates.reverse();
        let fates = Arc::new(Mutex::new(fates));
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let (left, all) = (Arc::clone(&fates), Arc::clone(&connections));
        let accepting = tokio::spawn(async move {
            while let Ok((dialer, _)) = port.accept().await {
                let fate = left.lock().unwrap().pop();
                all.lock().unwrap().spawn(async move {
                    if let Ok(dialed) = TcpStream::connect(to).await {
                        pass(dialer, dialed, fate).await;
                    }
                });
            }
        });
        Self { at, fates, connections, accepting }
    }

    /// Ends all connections.
    pub(crate) fn cut(&self) {
        self.connections.lock().unwrap().abort_all();
    }

    /// Ends all connections, and takes no more.
    pub(crate) fn stop(&self) {
        self.accepting.abort();
        self.cut();
    }

    pub(crate) fn left(&self) -> usize {
        self.fates.lock().unwrap().len()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(dialer: TcpStream, dialed: TcpStream, fate: Option<Fate>) {
    let (dialer_reads, dialer_writes) = dialer.into_split();
    let (dialed_reads, dialed_writes) = dialed.into_split();
    let limit = |from_dialer| fate.filter(|fate| fate.from_dialer == from_dialer).map(|fate| fate.after);
    let mut up = (dialer_reads, dialed_writes);
    let mut down = (dialed_reads, dialer_writes);
    tokio::select! {
        () = copy(&mut up, limit(true)) => {}
        () = copy(&mut down, limit(false)) => {}
    }
    let (dialer, dialed) = (up.0.reunite(down.1).unwrap(), down.0.reunite(up.1).unwrap());
    match fate.map_or(End::Close, |fate| fate.end) {
        End::Close => {}
        End::Reset => {
            for socket in [dialer, dialed] {
                // What is dropped then is reset.
                socket.set_zero_linger().unwrap();
            }
        }
        End::HalfOpen => {
            drop(dialer);
            // Until the node has turned to another connection, and closes this one.
            let (mut reads, _writes) = dialed.into_split();
            let mut scrap = vec![0; 64 * 1024];
            while reads.read(&mut scrap).await.is_ok_and(|count| count > 0) {}
        }
    }
}

/// Ends where one of both does, or behind `limit` bytes.
async fn copy((from, to): &mut (OwnedReadHalf, OwnedWriteHalf), limit: Option<usize>) {
    let mut left = limit.unwrap_or(usize::MAX);
    let mut bytes = vec![0; 16 * 1024];
    while left > 0 {
        let most = bytes.len().min(left);
        match from.read(&mut bytes[..most]).await {
            Ok(count) if count > 0 && to.write_all(&bytes[..count]).await.is_ok() => left -= count,
            _ => return,
        }
    }
}
