//! One neighbour as the side that dials sees it: all addresses of its name in turn, and what is told of that.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::entry::dialed;
use crate::error::LastSeen;
use crate::greeting::Failed;
use crate::link::Link;
use crate::plain_text::stays_inside;
use crate::shared::Shared;
use crate::silence::prepare;
use crate::told::Told;
use crate::turns::Turns;

#[derive(Debug)]
pub(crate) struct Dialer<'a> {
    shared: &'a Shared,
    link: &'a Link,
    /// As it was configured.
    address: &'a str,
    turns: Turns,
    told: Told,
}

impl<'a> Dialer<'a> {
    pub(crate) fn new(shared: &'a Shared, link: &'a Link, address: &'a str) -> Self {
        Self { shared, link, address, turns: Turns::default(), told: Told::default() }
    }

    /// One round: resolves the name, and tries its addresses until a connection stands. Says whether one does.
    ///
    /// # Cancel safety
    ///
    /// An attempt under way is dropped with the future.
    pub(crate) async fn dial(&mut self) -> bool {
        match self.resolve().await {
            Ok(addresses) => self.try_all(addresses).await,
            Err(why) => {
                self.told.begin(&[]);
                self.out_of_reach(None, why);
                false
            }
        }
    }

    /// The connection that the last round has made broke as soon as it stood.
    pub(crate) fn broke_at_once(&mut self) {
        self.turns.broke_at_once();
    }

    async fn resolve(&self) -> Result<Vec<SocketAddr>, String> {
        match timeout(self.shared.timing.handshake, lookup_host(self.address)).await {
            Ok(Ok(addresses)) => match addresses.collect::<Vec<_>>() {
                none if none.is_empty() => Err("the name does not resolve: it has no address".to_owned()),
                some => Ok(some),
            },
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidInput => {
                Err(format!("this is not of the form \"host:port\": {error}"))
            }
            Ok(Err(error)) => Err(format!("the name does not resolve: {error}")),
            Err(_) => Err("the name does not resolve: no answer in time".to_owned()),
        }
    }

    /// Whatever becomes of one address, be it that somebody else is there, the next one has its turn.
    async fn try_all(&mut self, addresses: Vec<SocketAddr>) -> bool {
        let order = self.turns.order(addresses);
        self.told.begin(&order);
        for (index, address) in order.iter().enumerate() {
            if self.try_one(*address).await {
                self.turns.connected(&order, index);
                return true;
            }
        }
        self.turns.all_failed(&order);
        false
    }

    async fn try_one(&mut self, tried: SocketAddr) -> bool {
        let (shared, link) = (self.shared, self.link);
        let limit = shared.timing.handshake;
        if !shared.may_leave_the_machine() && !stays_inside(tried) {
            let why = "it is not this machine's loopback, and the connection would be plain text";
            self.out_of_reach(Some(tried), why.to_owned());
            return false;
        }
        let number = shared.next_connection();
        let socket = match timeout(limit, TcpStream::connect(tried)).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => {
                self.out_of_reach(Some(tried), error.to_string());
                return false;
            }
            Err(_) => {
                self.out_of_reach(Some(tried), "the connection request timed out".to_owned());
                return false;
            }
        };
        prepare(&socket, shared.timing.silence);
        match dialed(shared, socket, number, link.peer.id()).await {
            Ok((stream, agreed)) => {
                self.tell_connected(tried);
                shared.install(stream, number, &agreed)
            }
            Err(turned_away) => {
                self.failed(tried, &turned_away.failed);
                turned_away.part().await;
                false
            }
        }
    }

    fn out_of_reach(&mut self, tried: Option<SocketAddr>, why: String) {
        let news = self.told.failed(tried, why.clone());
        self.tell(news, tried, "a neighbour is out of reach", &why);
        self.link.see(LastSeen::Unreachable { why });
    }

    fn failed(&mut self, tried: SocketAddr, failed: &Failed) {
        let news = self.told.failed(Some(tried), failed.sort());
        let what =
            if failed.is_refusal() { "a connection was refused" } else { "a neighbour is out of reach" };
        self.tell(news, Some(tried), what, &failed.why.to_string());
        self.link.see(failed.last_seen());
    }

    fn tell(&self, news: bool, tried: Option<SocketAddr>, what: &str, why: &str) {
        let (me, peer, at) = (self.shared.identity.topology.me(), self.link.peer, self.address);
        let tried = tried.map(tracing::field::display);
        if news {
            tracing::warn!(%me, %peer, at, tried, why, "{what}");
        } else {
            tracing::debug!(%me, %peer, at, tried, why, "{what}");
        }
    }

    fn tell_connected(&mut self, tried: SocketAddr) {
        let (me, peer, at) = (self.shared.identity.topology.me(), self.link.peer, self.address);
        match self.told.connected() {
            0 => tracing::info!(%me, %peer, at, %tried, "connected"),
            failures => tracing::info!(%me, %peer, at, %tried, failures, "connected after failures"),
        }
    }
}

#[cfg(test)]
#[path = "dialer_tests.rs"]
mod tests;
