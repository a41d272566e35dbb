//! How a `send` that waits comes to its end: its peer receives again, or is started again.

use futures::future::try_join;

use super::lab::{B, Flood, Lab};
use super::station::{Heard, Station};
use super::{Breach, TransportFixture};

/// The slow one receives again: all comes, and the `send` is ready.
pub(super) async fn drain<F: TransportFixture>(
    lab: &Lab<F>,
    from: &mut Station<F>,
    to: &mut Station<F>,
    flood: Flood<F>,
) -> Result<(), Breach> {
    let what = || format!("a `send` to {B}, which receives again, was not ready");
    let both = try_join(lab.in_time(what, flood.sending), to.receive(from.id(), &flood.frames));
    lab.while_listening([from], both).await.map(|_| ())
}

/// The dead one is started again: the `send` is ready, and what is sent after it comes. What was given to the dead process may
/// be gone.
pub(super) async fn revive<F: TransportFixture>(
    lab: &Lab<F>,
    from: &mut Station<F>,
    flood: Flood<F>,
) -> Result<(), Breach> {
    let mut b = lab.start(B).await?;
    let (id, stream) = (from.id(), lab.stream(10));
    let later = from.send(B, stream.endless());
    let what = || format!("a `send` to {B}, which was started again, was not ready");
    let sending = async {
        lab.in_time(what, flood.sending).await?;
        later.await
    };
    let receiving = async {
        loop {
            match b.hear_in_time(id).await? {
                Some(Heard::Frame(frame)) if stream.number(&frame).is_some() => return Ok(()),
                Some(_) => {}
                None => return Err(lab.broken(format!("nothing comes from {id} to the next process of {B}"))),
            }
        }
    };
    lab.while_listening([from], lab.until(receiving, sending)).await
}
