//! T3.

use futures::future::try_join;

use super::lab::{A, B, C, pair, run, three};
use super::station::Recv;
use super::{Breach, T3, TransportFixture, check};

/// T3: no more is pushed than there is room for, and what is buffered inside has a limit.
///
/// # Errors
///
/// What was seen of a clause that is broken.
pub fn t3_bounded<F: TransportFixture>() -> Result<(), Breach> {
    check::<F>(T3, |trial| {
        trial.step("a `recv` with little room");
        run::<F>(trial, &three(), async |lab| {
            let [a, b, mut c] = lab.start_all([A, B, C]).await?;
            let (of_a, of_b) = (lab.stream(0).frames(0..200), lab.stream(1).frames(0..200));
            let sending = try_join(a.send_now(C, &of_a), b.send_now(C, &of_b));
            let receiving = async {
                // Most have arrived before the first is taken.
                lab.quiet().await;
                c.receive(A, &of_a).await?;
                c.receive(B, &of_b).await
            };
            try_join(sending, receiving).await?;
            a.kill();
            b.kill();
            lab.quiet().await;
            // What is told of connections takes room as well.
            while let Some(received) = lab.soon(Box::pin(c.recv())).await {
                if let Recv::End = received? {
                    break;
                }
            }
            Ok(())
        })?;

        trial.step("a `recv` with something in the inbox already");
        run::<F>(trial, &pair(), async |lab| {
            let [a, mut b] = lab.start_all([A, B]).await?;
            let frames = lab.stream(0).frames(0..100);
            b.keep_in_the_inbox();
            try_join(a.send_now(B, &frames), b.receive(A, &frames)).await.map(|_| ())
        })?;

        trial.step("a `send` to a node that takes nothing");
        run::<F>(trial, &pair(), async |lab| {
            let [a, mut b] = lab.start_all([A, B]).await?;
            let flood = lab.flood(&a, B, 0).await?;
            let what = || "a `send` to n2, which receives again, was not ready".to_owned();
            try_join(lab.in_time(what, flood.sending), b.receive(A, &flood.frames)).await.map(|_| ())
        })?;

        trial.step("control frames for a node that takes nothing");
        run::<F>(trial, &pair(), async |lab| {
            let [a, mut b] = lab.start_all([A, B]).await?;
            let flood = lab.flood_with_control(&a, B, 0).await?;
            let what = || "a `send` to n2, which receives again, was not ready".to_owned();
            try_join(lab.in_time(what, flood.sending), b.receive(A, &flood.frames)).await.map(|_| ())
        })
    })
}
