//! T4.

use super::lab::{A, B, C, run, three};
use super::patience::nobody_gives_up;
use super::relief::{drain, revive};
use super::{Breach, T4, TransportFixture, check};

/// T4: a slow or lost peer delays only itself: `send` to it waits and does not fail, all others go on.
///
/// # Errors
///
/// What was seen of a clause that is broken.
pub fn t4_a_slow_peer_delays_only_itself<F: TransportFixture>() -> Result<(), Breach> {
    check::<F>(T4, |trial| {
        trial.step("two nodes to go on while the third takes nothing");
        run::<F>(trial, &three(), async |lab| {
            let [mut a, mut b, mut c] = lab.start_all([A, B, C]).await?;
            let flood = lab.flood(&a, B, 0).await?;
            let other = lab.flood(&c, B, 1).await?;
            lab.exchange(&mut a, &mut c, 2, 300).await?;
            drain(lab, &mut a, &mut b, flood).await?;
            drain(lab, &mut c, &mut b, other).await
        })?;

        trial.step("two nodes to go on while the third has not been started");
        run::<F>(trial, &three(), async |lab| {
            let [mut a, mut c] = lab.start_all([A, C]).await?;
            let flood = lab.flood(&a, B, 0).await?;
            lab.exchange(&mut a, &mut c, 2, 300).await?;
            let mut b = lab.start(B).await?;
            drain(lab, &mut a, &mut b, flood).await?;
            // Who comes late is one like the others.
            lab.exchange(&mut b, &mut c, 4, 100).await?;
            lab.exchange(&mut a, &mut b, 6, 100).await
        })?;

        trial.step("two nodes to go on while the third is dead");
        run::<F>(trial, &three(), async |lab| {
            let [mut a, b, mut c] = lab.start_all([A, B, C]).await?;
            b.kill();
            let flood = lab.flood(&a, B, 0).await?;
            lab.exchange(&mut a, &mut c, 2, 300).await?;
            if F::RESTARTS { revive(lab, &mut a, flood).await } else { Ok(()) }
        })?;

        nobody_gives_up::<F>(trial)?;

        if !F::GOODBYE {
            return Ok(());
        }

        trial.step("two nodes to go on when the third has said goodbye");
        run::<F>(trial, &three(), async |lab| {
            let [mut a, b, mut c] = lab.start_all([A, B, C]).await?;
            lab.while_listening([&mut a, &mut c], b.close()).await?;
            b.kill();
            while F::CONNECTIONS && a.is_connected(B) {
                let what = || format!("{A} was not told that {B} has left");
                lab.in_time(what, a.recv()).await?;
            }
            let flood = lab.flood(&a, B, 0).await?;
            lab.exchange(&mut a, &mut c, 2, 300).await?;
            if F::RESTARTS { revive(lab, &mut a, flood).await } else { Ok(()) }
        })
    })
}
