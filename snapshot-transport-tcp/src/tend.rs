//! The background task that does for all links what neither `send` nor `recv` is there for.

use std::sync::Arc;

use futures::future::join_all;
use tokio::time::timeout_at;

use crate::link::Link;
use crate::shared::Shared;

/// Tends the links for as long as the transport lives.
///
/// # Cancel safety
///
/// Ends by being dropped; connections that stand do not.
pub(crate) async fn tend(shared: Arc<Shared>) {
    join_all(shared.links.iter().map(|link| tend_one(&shared, link))).await;
}

async fn tend_one(shared: &Shared, link: &Link) {
    loop {
        let woken = link.sending.tender.notified();
        match link.tend(shared.timing.resume) {
            // It is the same whether it is woken or the time has come.
            Some(at) => drop(timeout_at(at, woken).await),
            None => woken.await,
        }
    }
}
