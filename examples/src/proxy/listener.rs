//! Links that listen, and the thread on which they do.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::faults::LinkFault;
use super::pump::carry;
use super::route::{Route, Setting};

/// The connections that one link carries at a time. Others wait until one ends.
const CONNECTIONS: usize = 64;

/// After an error of the system, such as too many open files.
const PAUSE: Duration = Duration::from_millis(20);

/// Links, on a thread of their own. Dropping it ends them with all their connections.
///
/// ```
/// use snapshot_examples::ports::free_addresses;
/// use snapshot_examples::proxy::Network;
/// use std::io::{Read, Write};
/// use std::net::{TcpListener, TcpStream};
///
/// let server = TcpListener::bind("127.0.0.1:0")?;
/// let listen = free_addresses(1, 7)?[0];
/// let network = Network::start([(listen, server.local_addr()?)])?;
/// let mut client = TcpStream::connect(listen)?;
/// client.write_all(b"hello")?;
/// let mut bytes = [0; 5];
/// server.accept()?.0.read_exact(&mut bytes)?;
/// assert_eq!(&bytes, b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Network {
    links: Vec<Link>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What a link is told by. See [`Network`].
#[derive(Debug)]
pub struct Link {
    tell: watch::Sender<Setting>,
    swallowed: Arc<AtomicU64>,
}

impl Network {
    /// A link for each pair: where it listens, and where it leads.
    ///
    /// # Errors
    ///
    /// If it cannot listen there, or if there can be no thread.
    pub fn start(routes: impl IntoIterator<Item = (SocketAddr, SocketAddr)>) -> io::Result<Self> {
        let (mut links, mut listeners) = (Vec::new(), Vec::new());
        for (listen, target) in routes {
            let listener = StdListener::bind(listen)?;
            listener.set_nonblocking(true)?;
            let (tell, setting) = watch::channel(Setting { target, fault: LinkFault::Clear, breaks: 0 });
            let swallowed = Arc::new(AtomicU64::new(0));
            listeners.push((listener, Route { setting, swallowed: Arc::clone(&swallowed) }));
            links.push(Link { tell, swallowed });
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            runtime.block_on(async {
                let mut listening = JoinSet::new();
                for (listener, route) in listeners {
                    listening.spawn(listen_on(listener, route));
                }
                // Whether it was told to stop or was dropped.
                let _ = stopped.await;
            });
        };
        let thread = std::thread::Builder::new().name("network".to_owned()).spawn(run)?;
        Ok(Self { links, stop: Some(stop), thread: Some(thread) })
    }

    /// The links, in the order of their routes.
    pub fn links(&self) -> &[Link] {
        &self.links
    }
}

impl Link {
    /// From now on this happens to its connections.
    pub fn set(&self, fault: LinkFault) {
        self.tell.send_modify(|setting| {
            setting.fault = fault;
            if fault.severs() {
                setting.breaks += 1;
            }
        });
    }

    /// What happens to its connections.
    pub fn fault(&self) -> LinkFault {
        self.tell.borrow().fault
    }

    /// How many bytes have vanished here so far.
    pub fn swallowed(&self) -> u64 {
        self.swallowed.load(Ordering::Relaxed)
    }

    /// From now on it leads there. Connections that stand are reset.
    pub fn lead_to(&self, target: SocketAddr) {
        self.tell.send_modify(|setting| {
            setting.target = target;
            setting.breaks += 1;
        });
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It does not panic; if it did, its connections are gone all the same.
            let _ = thread.join();
        }
    }
}

async fn listen_on(listener: StdListener, route: Route) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut carried = JoinSet::new();
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((incoming, _)) => {
                let carrying = carry(incoming, route.clone());
                carried.spawn(async move {
                    carrying.await;
                    drop(place);
                });
            }
            Err(_) => sleep(PAUSE).await,
        }
        while carried.try_join_next().is_some() {}
    }
}
