//! T1.

use futures::future::try_join;
use snapshot_core::Graph;

use super::frames::odd_frames;
use super::lab::{A, B, C, pair, run, three};
use super::{Breach, T1, TransportFixture, check};

/// How many large messages are sent before the receiver begins, where as many go out.
const LATE: usize = 1000;

/// T1: the frames of one channel arrive in the order in which they were sent, control frames included.
///
/// # Errors
///
/// What was seen of a clause that is broken.
pub fn t1_order<F: TransportFixture>() -> Result<(), Breach> {
    check::<F>(T1, |trial| {
        trial.step("frames of all kinds to arrive, two nodes, both ways");
        run::<F>(trial, &pair(), async |lab| {
            let [mut a, mut b] = lab.start_all([A, B]).await?;
            lab.exchange(&mut a, &mut b, 0, 3000).await?;
            // Their numbers say nothing to a transport.
            lab.pass(&a, &mut b, &odd_frames(&lab.stream(2))).await
        })?;

        trial.step("frames for a receiver that begins late");
        run::<F>(trial, &pair(), async |lab| {
            let [a, mut b] = lab.start_all([A, B]).await?;
            let waiting = lab.fill(&a, B, 0, LATE).await?;
            let sent = lab.in_time(|| "a `send` was not ready".to_owned(), waiting.sending);
            try_join(sent, b.receive(A, &waiting.frames)).await?;
            lab.pass(&a, &mut b, &lab.stream(1).frames(0..300)).await
        })?;

        trial.step("frames of two senders to arrive at one receiver");
        run::<F>(trial, &three(), async |lab| {
            let [a, b, mut c] = lab.start_all([A, B, C]).await?;
            let (of_a, of_b) = (lab.stream(0).frames(0..1000), lab.stream(1).frames(0..1000));
            let sending = try_join(a.send_now(C, &of_a), b.send_now(C, &of_b));
            let receiving = async {
                c.receive(A, &of_a).await?;
                c.receive(B, &of_b).await
            };
            try_join(sending, receiving).await.map(|_| ())
        })?;

        trial.step("frames to arrive on a one-way ring");
        run::<F>(trial, &Graph::ring([A, B, C]), async |lab| {
            let [mut a, mut b, mut c] = lab.start_all([A, B, C]).await?;
            lab.pass(&a, &mut b, &lab.stream(0).frames(0..500)).await?;
            lab.pass(&b, &mut c, &lab.stream(1).frames(0..500)).await?;
            lab.pass(&c, &mut a, &lab.stream(2).frames(0..500)).await
        })?;

        trial.step("frames to arrive on a line with a way back");
        let line = Graph::new([A, B, C]).link(A, B).link(B, C).with_way_back();
        run::<F>(trial, &line, async |lab| {
            let [mut a, mut b, mut c] = lab.start_all([A, B, C]).await?;
            let control =
                |origin| (0..500).map(|n| lab.stream(origin).control(n, n as usize % 40)).collect::<Vec<_>>();
            lab.pass(&a, &mut b, &lab.stream(0).frames(0..500)).await?;
            lab.pass(&c, &mut b, &control(1)).await?;
            lab.pass(&b, &mut c, &lab.stream(2).frames(0..500)).await?;
            lab.pass(&b, &mut a, &control(3)).await
        })
    })
}
