//! What waits for long: T2, T4, T8.

use std::panic::resume_unwind;
use std::thread;

use futures::FutureExt;
use futures::future::{Either, select, try_join};

use super::lab::{A, B, C, Flood, Lab, pair, run, three};
use super::relief::{drain, revive};
use super::station::Station;
use super::{Breach, T2, T4, T8, TransportFixture};
use crate::trial::Trial;

/// One batch lies undelivered, which most transports take at once.
const FEW: usize = 1;

type Scenario = fn(&Trial) -> Result<(), Breach>;

/// Keeps everything waiting for as long as the fixture says, each scenario on a thread of its own: so it takes only as long
/// as one.
pub(super) fn nobody_gives_up<F: TransportFixture>(trial: &Trial) -> Result<(), Breach> {
    trial.step(format!("everything to wait for {:?}", F::PATIENCE));
    let scenarios: [Scenario; 6] = [
        |trial| run::<F>(&trial.of(T8), &pair(), silence),
        |trial| run::<F>(&trial.of(T8), &pair(), alone),
        |trial| run::<F>(&trial.of(T2), &pair(), undelivered),
        |trial| run::<F>(&trial.of(T4), &three(), slow),
        |trial| run::<F>(&trial.of(T4), &pair(), absent),
        |trial| if F::RESTARTS { run::<F>(&trial.of(T4), &pair(), dead) } else { Ok(()) },
    ];
    thread::scope(|scope| {
        let running = scenarios.map(|scenario| scope.spawn(move || scenario(trial)));
        let results = running.map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        results.into_iter().collect()
    })
}

/// Nothing is sent, and then something is. A connection may be made anew meanwhile.
async fn silence<F: TransportFixture>(lab: &Lab<F>) -> Result<(), Breach> {
    let [mut a, mut b] = lab.start_all([A, B]).await?;
    let waiting = lab.patience().map(Ok);
    lab.while_listening([&mut a, &mut b], waiting)
        .await
        .map_err(|breach| during::<F>("while nobody sent", &breach))?;
    try_join(a.connected(&[B]), b.connected(&[A])).await?;
    lab.exchange(&mut a, &mut b, 0, 200).await
}

/// The only neighbour comes late.
async fn alone<F: TransportFixture>(lab: &Lab<F>) -> Result<(), Breach> {
    let mut a = lab.start(A).await?;
    let waiting = lab.patience().map(Ok);
    lab.while_listening([&mut a], waiting)
        .await
        .map_err(|breach| during::<F>("while no neighbour ran", &breach))?;
    let mut b = lab.start(B).await?;
    try_join(a.connected(&[B]), b.connected(&[A])).await?;
    lab.exchange(&mut a, &mut b, 0, 200).await
}

/// Frames have been sent, and nobody takes them.
async fn undelivered<F: TransportFixture>(lab: &Lab<F>) -> Result<(), Breach> {
    let [mut a, mut b] = lab.start_all([A, B]).await?;
    let mut flood = lab.fill(&a, B, 0, FEW).await?;
    wait(lab, &mut a, &mut flood, "while n2 took nothing").await?;
    drain(lab, &mut a, &mut b, flood)
        .await
        .map_err(|breach| during::<F>("after n2 took nothing", &breach))?;
    lab.exchange(&mut a, &mut b, 2, 200).await
}

/// One takes nothing, and the channel to it is full; then the others go on, and then that one.
async fn slow<F: TransportFixture>(lab: &Lab<F>) -> Result<(), Breach> {
    let [mut a, mut b, mut c] = lab.start_all([A, B, C]).await?;
    let mut flood = lab.flood(&a, B, 0).await?;
    wait(lab, &mut a, &mut flood, "while n2 took nothing").await?;
    lab.exchange(&mut a, &mut c, 2, 200).await?;
    drain(lab, &mut a, &mut b, flood)
        .await
        .map_err(|breach| during::<F>("after n2 took nothing", &breach))?;
    lab.exchange(&mut a, &mut b, 4, 200).await
}

async fn absent<F: TransportFixture>(lab: &Lab<F>) -> Result<(), Breach> {
    let mut a = lab.start(A).await?;
    let mut flood = lab.flood(&a, B, 0).await?;
    wait(lab, &mut a, &mut flood, "while n2 had not been started").await?;
    let mut b = lab.start(B).await?;
    drain(lab, &mut a, &mut b, flood)
        .await
        .map_err(|breach| during::<F>("after n2 had not been started", &breach))
}

async fn dead<F: TransportFixture>(lab: &Lab<F>) -> Result<(), Breach> {
    let [mut a, b] = lab.start_all([A, B]).await?;
    b.kill();
    let mut flood = lab.flood(&a, B, 0).await?;
    wait(lab, &mut a, &mut flood, "while n2 was dead").await?;
    revive(lab, &mut a, flood).await.map_err(|breach| during::<F>("after n2 was dead", &breach))
}

/// Waits, and listens as a node does. That the `send` is ready meanwhile is no fault: it may have been slow.
async fn wait<F: TransportFixture>(
    lab: &Lab<F>,
    from: &mut Station<F>,
    flood: &mut Flood<F>,
    when: &str,
) -> Result<(), Breach> {
    let sending = std::mem::replace(&mut flood.sending, Box::pin(async { Ok(()) }));
    let waiting = async {
        match select(sending, std::pin::pin!(lab.patience())).await {
            Either::Left((sent, patience)) => {
                sent?;
                patience.await;
                Ok(None)
            }
            Either::Right(((), sending)) => Ok(Some(sending)),
        }
    };
    let sending = lab.while_listening([from], waiting).await;
    if let Some(sending) = sending.map_err(|breach| during::<F>(when, &breach))? {
        flood.sending = sending;
    }
    Ok(())
}

/// The same breach, and what it came of.
fn during<F: TransportFixture>(when: &str, breach: &Breach) -> Breach {
    breach.clause.broken(format!("{}, {when} (`PATIENCE` is {:?})", breach.seen(), F::PATIENCE))
}
