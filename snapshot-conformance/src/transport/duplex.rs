//! T5.

use futures::future::try_join;

use super::lab::{A, B, C, pair, run, three};
use super::station::Station;
use super::{Breach, T5, TransportFixture, check};

/// T5: `send`, to any number of peers, and `recv` may be under way at the same time and do not wait for each other.
///
/// # Errors
///
/// What was seen of a clause that is broken.
pub fn t5_send_and_recv_side_by_side<F: TransportFixture>() -> Result<(), Breach> {
    check::<F>(T5, |trial| {
        trial.step("sends while a `recv` waits for what does not come");
        run::<F>(trial, &three(), async |lab| {
            let [mut a, mut b, mut c] = lab.start_all([A, B, C]).await?;
            let (to_b, to_c) = (lab.stream(0).frames(0..300), lab.stream(1).frames(0..300));
            let sending = try_join(
                lab.in_time(|| "a `send` to n2 was not ready".to_owned(), a.send(B, [to_b.clone()])),
                lab.in_time(|| "a `send` to n3 was not ready".to_owned(), a.send(C, [to_c.clone()])),
            );
            let received = lab.soon(Box::pin(a.recv())).await;
            if let Some(Err(breach)) = received {
                return Err(breach);
            }
            try_join(sending, try_join(b.receive(A, &to_b), c.receive(A, &to_c))).await.map(|_| ())
        })?;

        trial.step("frames to arrive at a node whose own `send` waits");
        run::<F>(trial, &three(), async |lab| {
            let [mut a, mut b, mut c] = lab.start_all([A, B, C]).await?;
            let flood = lab.flood(&a, B, 0).await?;
            let (of_b, of_c) = (lab.stream(1).frames(0..50), lab.stream(2).frames(0..50));
            let sending = try_join(b.send_now(A, &of_b), c.send_now(A, &of_c));
            let receiving = async {
                a.receive(B, &of_b).await?;
                a.receive(C, &of_c).await
            };
            try_join(sending, receiving).await?;
            // A second one beside it.
            lab.pass(&a, &mut c, &lab.stream(3).frames(0..50)).await?;
            let sent = lab
                .in_time(|| "a `send` to n2, which receives again, was not ready".to_owned(), flood.sending);
            try_join(sent, b.receive(A, &flood.frames)).await.map(|_| ())
        })?;

        trial.step("two nodes that have both filled the channel to the other, and then receive");
        run::<F>(trial, &pair(), async |lab| {
            let [mut a, mut b] = lab.start_all([A, B]).await?;
            let to_b = lab.flood(&a, B, 0).await?;
            let to_a = lab.flood(&b, A, 1).await?;
            let what = || "two nodes wait for each other: a `send` was not ready".to_owned();
            let sending = lab.in_time(what, try_join(to_b.sending, to_a.sending));
            let receiving = try_join(a.receive(B, &to_a.frames), b.receive(A, &to_b.frames));
            try_join(sending, receiving).await.map(|_| ())
        })?;

        trial.step("two sends that wait, of which one peer receives again");
        run::<F>(trial, &three(), async |lab| {
            let [a, mut b, mut c] = lab.start_all([A, B, C]).await?;
            let to_b = lab.flood(&a, B, 0).await?;
            let to_c = lab.flood(&a, C, 1).await?;
            let what = |peer| move || format!("a `send` to {peer}, which receives again, was not ready");
            try_join(c.receive(A, &to_c.frames), lab.in_time(what(C), to_c.sending)).await?;
            try_join(b.receive(A, &to_b.frames), lab.in_time(what(B), to_b.sending)).await.map(|_| ())
        })?;

        trial.step("calls that are asked by one task and then by another");
        run::<F>(trial, &pair(), async |lab| {
            let [mut a, mut b] = lab.start_all([A, B]).await?;
            [&mut a, &mut b].into_iter().for_each(Station::move_between_tasks);
            if let Some(received) = lab.soon(Box::pin(a.recv())).await {
                received?;
            }
            // As a node does, whose `next` goes on after it was dropped.
            lab.exchange(&mut a, &mut b, 0, 1000).await.map_err(|breach| match breach.clause() {
                "T5" => lab.broken(format!(
                    "{}, with each call asked by one task and then by another",
                    breach.seen()
                )),
                _ => breach,
            })
        })
    })
}
