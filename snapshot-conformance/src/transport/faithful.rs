//! T2.

use std::future::Future;

use futures::future::{try_join, try_join_all, try_join3};
use snapshot_core::NodeId;

use super::frames::{Name, Stream, odd_frames, sizes};
use super::lab::{A, B, C, Lab, pair, run, three};
use super::station::{Heard, Station};
use super::{Breach, T2, TransportFixture, check};

/// How many frames must have come before something breaks, and how many after.
const STRETCH: u64 = 150;

/// How many large messages are sent before the receiver begins, where as many go out.
const LATE: usize = 1000;

/// T2: while a connection stands, no frame is lost, repeated or changed; where that may have happened, the receiving side is
/// told.
///
/// # Errors
///
/// What was seen of a clause that is broken.
pub fn t2_nothing_lost_repeated_or_changed<F: TransportFixture>() -> Result<(), Breach> {
    check::<F>(T2, |trial| {
        trial.step("frames of all sizes, stamps and kinds to arrive as they were sent");
        run::<F>(trial, &pair(), async |lab| {
            let [mut a, mut b] = lab.start_all([A, B]).await?;
            for frames in [sizes(&lab.stream(0)), odd_frames(&lab.stream(0))] {
                lab.pass(&a, &mut b, &frames).await?;
                try_join(b.send_now(A, &frames), a.receive(B, &frames)).await?;
            }
            nothing_else(lab, &a, &mut b).await
        })?;

        trial.step("a batch of thousands to arrive");
        run::<F>(trial, &pair(), async |lab| {
            let [a, mut b] = lab.start_all([A, B]).await?;
            let frames = lab.stream(0).frames(0..7000);
            try_join(a.send_now(B, &frames), b.receive(A, &frames)).await?;
            nothing_else(lab, &a, &mut b).await
        })?;

        trial.step("more frames to arrive than a counter of 16 bits has numbers");
        run::<F>(trial, &pair(), async |lab| {
            let [a, mut b] = lab.start_all([A, B]).await?;
            let stream = lab.stream(0);
            let small = |number: u64| match number % 3 {
                0 => stream.message(number, 8),
                len => stream.control(number, len as usize),
            };
            lab.pass(&a, &mut b, &(0..70_000).map(small).collect::<Vec<_>>()).await
        })?;

        trial.step("frames to arrive at nobody but their receiver, and from nobody but their sender");
        run::<F>(trial, &three(), async |lab| {
            let [mut a, mut b, mut c] = lab.start_all([A, B, C]).await?;
            // All at the same time.
            let frames: Vec<_> = (0..6).map(|origin| lab.stream(origin).frames(0..500)).collect();
            let sends = [(&a, B), (&b, C), (&c, A), (&a, C), (&b, A), (&c, B)];
            let sends = (0..).zip(sends).map(|(at, (from, to)): (usize, _)| from.send_now(to, &frames[at]));
            let sending = try_join_all(sends);
            let receiving = try_join3(
                async { a.receive(C, &frames[2]).await.and(a.receive(B, &frames[4]).await) },
                async { b.receive(A, &frames[0]).await.and(b.receive(C, &frames[5]).await) },
                async { c.receive(B, &frames[1]).await.and(c.receive(A, &frames[3]).await) },
            );
            try_join(sending, receiving).await.map(|_| ())
        })?;

        trial.step("frames for a receiver that begins late");
        run::<F>(trial, &pair(), async |lab| {
            let [a, mut b] = lab.start_all([A, B]).await?;
            let waiting = lab.fill(&a, B, 0, LATE).await?;
            let sent = lab.in_time(|| "a `send` was not ready".to_owned(), waiting.sending);
            try_join(sent, b.receive(A, &waiting.frames)).await?;
            nothing_else(lab, &a, &mut b).await
        })?;

        trial.step("frames to arrive that were sent before the receiver was started");
        run::<F>(trial, &pair(), async |lab| {
            let mut a = lab.start(A).await?;
            let frames = lab.stream(0).frames(0..20);
            let sending = a.send_now(B, &frames);
            let receiving = async {
                lab.quiet().await;
                lab.start(B).await?.receive(A, &frames).await
            };
            lab.while_listening([&mut a], try_join(sending, receiving)).await.map(|_| ())
        })?;

        trial.step("frames of a sender that is killed");
        run::<F>(trial, &pair(), killed_sender)?;

        if F::RESTARTS {
            trial.step("frames for a receiver that is killed and started again");
            run::<F>(trial, &pair(), killed_receiver)?;
        }

        trial.step("frames on a connection that is cut");
        run::<F>(trial, &pair(), cut_connection)?;

        trial.step("the first frames on a new connection");
        run::<F>(trial, &pair(), new_connection)
    })
}

/// One more frame, and then the end: nothing was repeated late.
async fn nothing_else<F: TransportFixture>(
    lab: &Lab<F>,
    from: &Station<F>,
    to: &mut Station<F>,
) -> Result<(), Breach> {
    let last = [lab.stream(77).message(0, 10)];
    try_join(from.send_now(to.id(), &last), to.receive(from.id(), &last)).await?;
    let (sender, receiver) = (from.id(), to.id());
    match lab.soon(Box::pin(to.hear(sender))).await {
        Some(Ok(Heard::Frame(frame))) => {
            let seen =
                format!("{} came from {sender} to {receiver} once more than it was sent", Name(&frame));
            Err(lab.broken(seen))
        }
        Some(Err(breach)) => Err(breach),
        _ => Ok(()),
    }
}

/// What has come of a dead process is the beginning of what it sent, and where that is not all, the loss is told.
async fn killed_sender<F: TransportFixture>(lab: &Lab<F>) -> Result<(), Breach> {
    let [a, mut b] = lab.start_all([A, B]).await?;
    let stream = lab.stream(0);
    let mut sending = a.send(B, stream.endless());
    let mut watch = Watch::new(B, A, &stream);
    watch.until(lab, &mut b, STRETCH, &mut sending).await?;
    drop(sending);
    a.kill();
    if !F::CONNECTIONS {
        return Ok(());
    }
    loop {
        match b.hear_in_time(A).await? {
            Some(Heard::Lost(_)) => return Ok(()),
            Some(Heard::Left) => {
                return Err(super::T7.broken(format!("{B} was told that {A} left, but it was killed")));
            }
            Some(heard) => watch.mind(heard)?,
            None => {
                return Err(lab.broken(format!(
                    "{A} was killed in the midst of sending, and {B} was not told of a loss"
                )));
            }
        }
    }
}

/// Each process of the receiver gets one stretch of the stream.
async fn killed_receiver<F: TransportFixture>(lab: &Lab<F>) -> Result<(), Breach> {
    let [mut a, mut b] = lab.start_all([A, B]).await?;
    let stream = lab.stream(0);
    let mut sending = a.send(B, stream.endless());
    Watch::new(B, A, &stream).until(lab, &mut b, STRETCH, &mut sending).await?;
    for _ in 0..2 {
        b.kill();
        b = lab.start(B).await?;
        let mut watch = Watch::new(B, A, &stream);
        watch.expected = None;
        lab.while_listening([&mut a], watch.until(lab, &mut b, STRETCH, &mut sending)).await?;
    }
    Ok(())
}

/// Between two losses that were told the stream has no hole.
async fn cut_connection<F: TransportFixture>(lab: &Lab<F>) -> Result<(), Breach> {
    let [mut a, mut b] = lab.start_all([A, B]).await?;
    let stream = lab.stream(0);
    let mut sending = a.send(B, stream.endless());
    let mut watch = Watch::new(B, A, &stream);
    for _ in 0..3 {
        lab.while_listening([&mut a], watch.until(lab, &mut b, STRETCH, &mut sending)).await?;
        if !lab.fixture.cut(A, B).await {
            return Ok(());
        }
        // Whatever was on its way when it was cut.
        watch.after_the_cut();
    }
    lab.while_listening([&mut a], watch.until(lab, &mut b, STRETCH, &mut sending)).await
}

/// Where nothing was under way when the connection broke, all that is sent on the next one comes.
async fn new_connection<F: TransportFixture>(lab: &Lab<F>) -> Result<(), Breach> {
    let [mut a, mut b] = lab.start_all([A, B]).await?;
    lab.exchange(&mut a, &mut b, 0, 100).await?;
    if lab.cut(&mut a, &mut b).await? {
        lab.exchange(&mut a, &mut b, 2, 100).await?;
    }
    for round in (4..).step_by(2).take(if F::RESTARTS { 2 } else { 0 }) {
        b.kill();
        if F::CONNECTIONS {
            a.loses(B).await?;
        }
        b = lab.start(B).await?;
        try_join(a.connected(&[B]), b.connected(&[A])).await?;
        lab.exchange(&mut a, &mut b, round, 100).await?;
    }
    Ok(())
}

/// Follows a stream at its receiver.
struct Watch<F> {
    receiver: NodeId,
    sender: NodeId,
    stream: Stream<F>,
    /// The next frame; `None` where any may come, since a loss was told or the process is new.
    expected: Option<u64>,
    /// How many have come without a hole since the last loss.
    stretch: u64,
}

impl<F: TransportFixture> Watch<F> {
    fn new(receiver: NodeId, sender: NodeId, stream: &Stream<F>) -> Self {
        let stream = stream.clone();
        Self { receiver, sender, stream, expected: Some(0), stretch: 0 }
    }

    fn after_the_cut(&mut self) {
        self.stretch = 0;
    }

    /// Takes frames until so many have come without a hole.
    async fn until(
        &mut self,
        lab: &Lab<F>,
        station: &mut Station<F>,
        count: u64,
        sending: &mut (impl Future<Output = Result<(), Breach>> + Unpin),
    ) -> Result<(), Breach> {
        let receiving = async {
            while self.stretch < count {
                match station.hear_in_time(self.sender).await? {
                    Some(heard) => self.mind(heard)?,
                    None => {
                        let (sender, receiver) = (self.sender, self.receiver);
                        let seen = format!(
                            "nothing more has come from {sender} to {receiver}, though {sender} sends"
                        );
                        return Err(T2.broken(seen));
                    }
                }
            }
            Ok(())
        };
        lab.until(receiving, sending).await
    }

    fn mind(&mut self, heard: Heard<F::Message>) -> Result<(), Breach> {
        let frame = match heard {
            Heard::Frame(frame) => frame,
            Heard::Lost(_) => {
                (self.expected, self.stretch) = (None, 0);
                return Ok(());
            }
            Heard::Up | Heard::Left => return Ok(()),
        };
        let Some(number) = self.stream.number(&frame) else {
            let seen = format!("{} came from {}, which has not sent it like that", Name(&frame), self.sender);
            return Err(T2.broken(seen));
        };
        if let Some(expected) = self.expected.filter(|expected| *expected != number) {
            let seen = format!(
                "frame {number} came from {} to {} where frame {expected} was next, and no loss was told",
                self.sender, self.receiver
            );
            return Err(T2.broken(seen));
        }
        self.expected = Some(number + 1);
        self.stretch += 1;
        Ok(())
    }
}
