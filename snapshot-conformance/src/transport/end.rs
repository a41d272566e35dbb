//! T8.

use futures::future::try_join;

use super::lab::{A, B, C, Lab, pair, run, three};
use super::station::{Recv, Station};
use super::{Breach, T8, TransportFixture, check};

/// How often `recv` is called after the end.
const CALLS: usize = 5;

/// T8: `recv` that is ready with nothing pushed is the clean end, and there is no other.
///
/// # Errors
///
/// What was seen of a clause that is broken.
pub fn t8_clean_end<F: TransportFixture>() -> Result<(), Breach> {
    check::<F>(T8, |trial| {
        trial.step("a node whose neighbours have not been started");
        run::<F>(trial, &three(), async |lab| {
            let mut a = lab.start(A).await?;
            match lab.soon(Box::pin(a.recv())).await {
                Some(Ok(Recv::End)) => Err(early(lab)),
                Some(Err(breach)) => Err(breach),
                Some(Ok(Recv::Items)) | None => Ok(()),
            }
        })?;
        trial.step("a node whose neighbours are all gone");
        run::<F>(trial, &three(), all_gone)?;
        if F::GOODBYE {
            trial.step("a node whose neighbours have all said goodbye");
            run::<F>(trial, &three(), all_left)?;
            trial.step("the end after one's own `close`");
            run::<F>(trial, &pair(), closed)?;
            trial.step("the end after one's own `close`, where nobody else was ever there");
            run::<F>(trial, &pair(), async |lab| {
                let mut a = lab.start(A).await?;
                let closing = a.close();
                try_join(closing, ends(lab, &mut a)).await.map(|_| ())
            })?;
        }
        Ok(())
    })
}

async fn all_gone<F: TransportFixture>(lab: &Lab<F>) -> Result<(), Breach> {
    let [mut a, b, c] = lab.start_all([A, B, C]).await?;
    b.kill();
    c.kill();
    comes_back(lab, &mut a).await
}

async fn all_left<F: TransportFixture>(lab: &Lab<F>) -> Result<(), Breach> {
    let [mut a, mut b, mut c] = lab.start_all([A, B, C]).await?;
    let closing = b.close();
    lab.while_listening([&mut a, &mut c], try_join(closing, ends(lab, &mut b))).await?;
    let closing = c.close();
    lab.while_listening([&mut a], try_join(closing, ends(lab, &mut c))).await?;
    b.kill();
    c.kill();
    comes_back(lab, &mut a).await
}

/// That all are gone is no end where one can come back. Where none can, it may be; then it stays.
async fn comes_back<F: TransportFixture>(lab: &Lab<F>, a: &mut Station<F>) -> Result<(), Breach> {
    if F::RESTARTS && F::CONNECTIONS {
        while a.is_connected(B) || a.is_connected(C) {
            let what = || format!("{A} was not told that its neighbours are gone");
            if let Recv::End = lab.in_time(what, a.recv()).await? {
                return Err(early(lab));
            }
        }
    }
    while let Some(received) = lab.soon(Box::pin(a.recv())).await {
        if let Recv::End = received? {
            return if F::RESTARTS { Err(early(lab)) } else { ends(lab, a).await };
        }
    }
    if F::RESTARTS {
        let mut b = lab.start(B).await?;
        try_join(b.connected(&[A]), a.connected(&[B])).await?;
        lab.exchange(a, &mut b, 0, 1000).await?;
    }
    Ok(())
}

fn early<F: TransportFixture>(lab: &Lab<F>) -> Breach {
    lab.broken(format!(
        "a `recv` of {A} was ready with nothing pushed, which is the end, though its neighbours may come back (where they \
         cannot, set `RESTARTS` of the fixture to false)"
    ))
}

/// With frames that have arrived and were not taken, and a `recv` under way.
async fn closed<F: TransportFixture>(lab: &Lab<F>) -> Result<(), Breach> {
    for unread in [false, true] {
        let [mut a, mut b] = lab.start_all([A, B]).await?;
        if unread {
            let sending = b.send(A, [lab.stream(0).frames(0..50)]);
            if let Some(sent) = lab.soon(sending).await {
                sent?;
                lab.quiet().await;
            }
        } else if let Some(received) = lab.soon(Box::pin(a.recv())).await {
            received?;
        }
        let closing = a.close();
        lab.while_listening([&mut b], try_join(closing, ends(lab, &mut a))).await?;
        b.kill();
        a.kill();
        if !F::RESTARTS {
            break;
        }
    }
    Ok(())
}

/// What had arrived may come, then the end, and nothing after it.
async fn ends<F: TransportFixture>(lab: &Lab<F>, station: &mut Station<F>) -> Result<(), Breach> {
    let id = station.id();
    let to_the_end = async {
        // More than anybody has sent here.
        for _ in 0..10_000 {
            if let Recv::End = station.recv().await? {
                return Ok(());
            }
        }
        Err(lab.broken(format!("`recv` of {id}, which has closed, goes on and on")))
    };
    lab.in_time(|| format!("`recv` of {id}, which has closed, did not end"), to_the_end).await?;
    for _ in 0..CALLS {
        let again = lab.in_time(|| format!("a `recv` of {id} after the end was not ready"), station.recv());
        if let Recv::Items = again.await? {
            return Err(lab.broken(format!("a `recv` of {id} pushed something after the end")));
        }
    }
    Ok(())
}
