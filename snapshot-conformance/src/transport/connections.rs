//! T7.

use futures::future::{try_join, try_join_all, try_join3};
use snapshot_core::{Graph, NodeId};

use super::frames::{Name, compare};
use super::lab::{A, B, C, Lab, pair, run, three};
use super::station::{FrameOf, Heard, Station};
use super::{Breach, T2, T7, TransportFixture, check};

/// How many frames each life of a process sends.
const COUNT: u64 = 20;

/// T7: each connection is announced before its first frame, nothing of an older one comes after that, and its end is told
/// once: as a loss, or as a goodbye where there was one.
///
/// # Errors
///
/// What was seen of a clause that is broken.
pub fn t7_connections_are_told<F: TransportFixture>() -> Result<(), Breach> {
    check::<F>(T7, |trial| {
        trial.step("the first connection to be told before the first frame");
        run::<F>(trial, &pair(), async |lab| {
            let mut a = lab.start(A).await?;
            let early = lab.stream(0).frames(0..COUNT);
            let sending = a.send_now(B, &early);
            let b = async {
                let mut b = lab.start(B).await?;
                b.receive(A, &early).await?;
                Ok(b)
            };
            let ((), mut b) = lab.while_listening([&mut a], try_join(sending, b)).await?;
            // What comes from the other side is told of on its own.
            let late = lab.stream(1).frames(0..COUNT);
            try_join(b.send_now(A, &late), a.receive(B, &late)).await?;
            lab.exchange(&mut a, &mut b, 2, 200).await
        })?;

        trial.step("the connections of one-way channels to be told at both ends");
        run::<F>(trial, &Graph::ring([A, B, C]), async |lab| lab.start_all([A, B, C]).await.map(|_| ()))?;

        if !F::CONNECTIONS {
            return Ok(());
        }

        trial.step("a death to be told");
        run::<F>(trial, &three(), async |lab| {
            let [mut a, b, mut c] = lab.start_all([A, B, C]).await?;
            let frames = lab.stream(0).frames(0..COUNT);
            try_join(b.send_now(A, &frames), a.receive(B, &frames)).await?;
            b.kill();
            dies(lab, &mut a, B).await?;
            dies(lab, &mut c, B).await?;
            // And of nobody else, and not again and again.
            lab.quiet().await;
            lab.exchange(&mut a, &mut c, 2, 200).await?;
            nothing_of(lab, &mut a, B).await
        })?;

        trial.step("a connection that is cut to be told at both ends");
        run::<F>(trial, &pair(), cut)?;

        if F::GOODBYE {
            trial.step("a goodbye to be told, behind the last frames");
            run::<F>(trial, &three(), goodbye)?;
            trial.step("a goodbye to be told to one that looked away, behind the last frames");
            run::<F>(trial, &pair(), late_goodbye)?;
        }
        if F::RESTARTS {
            trial.step("the connections of a node that is started again and again");
            run::<F>(trial, &three(), restarts)?;
            trial.step("the connections of a node that was started again while the other looked away");
            run::<F>(trial, &pair(), unseen_lives)?;
        }
        Ok(())
    })
}

async fn goodbye<F: TransportFixture>(lab: &Lab<F>) -> Result<(), Breach> {
    let [mut a, mut b, mut c] = lab.start_all([A, B, C]).await?;
    let (to_a, to_c) = (lab.stream(0).frames(0..400), lab.stream(1).frames(0..400));
    let leaving = async {
        try_join(b.send_now(A, &to_a), b.send_now(C, &to_c)).await?;
        b.close().await
    };
    try_join(leaving, try_join(leaves(lab, &mut a, &to_a), leaves(lab, &mut c, &to_c))).await?;
    b.kill();
    lab.quiet().await;
    lab.exchange(&mut a, &mut c, 2, 200).await?;
    nothing_of(lab, &mut a, B).await?;
    if F::RESTARTS {
        b = lab.start(B).await?;
        try_join3(a.connected(&[B, C]), b.connected(&[A, C]), c.connected(&[A, B])).await?;
        lab.exchange(&mut a, &mut b, 4, 100).await?;
    }
    Ok(())
}

/// The other one takes nothing until the goodbye was said, or waits for it to do so.
async fn late_goodbye<F: TransportFixture>(lab: &Lab<F>) -> Result<(), Breach> {
    let [mut a, b] = lab.start_all([A, B]).await?;
    let frames = lab.stream(0).frames(0..COUNT);
    let leaving = async {
        b.send_now(A, &frames).await?;
        b.close().await
    };
    let looking = async {
        lab.quiet().await;
        leaves(lab, &mut a, &frames).await
    };
    try_join(leaving, looking).await.map(|_| ())
}

/// Nothing of the old connection comes on the next one.
async fn cut<F: TransportFixture>(lab: &Lab<F>) -> Result<(), Breach> {
    let [mut a, mut b] = lab.start_all([A, B]).await?;
    let mut old = lab.stream(0).frames(0..COUNT);
    lab.pass(&a, &mut b, &old).await?;
    for round in 1..4 {
        lab.trial.step(format!("cut no. {round} of the connection of {A} and {B}"));
        if !lab.cut(&mut a, &mut b).await? {
            return Ok(());
        }
        let new = lab.stream(round).frames(0..COUNT);
        let receiving = async {
            let mut came = Vec::new();
            while came.len() < new.len() {
                match b.hear_in_time(A).await? {
                    Some(Heard::Frame(frame)) if old.contains(&frame) => {
                        let seen = format!(
                            "{}, which {A} sent on an older connection, came after an `up`",
                            Name(&frame)
                        );
                        return Err(lab.broken(seen));
                    }
                    Some(Heard::Frame(frame)) => came.push(frame),
                    Some(_) => {}
                    None => break,
                }
            }
            compare(A, &new, &came)
        };
        try_join(a.send_now(B, &new), receiving).await?;
        old.extend(new);
    }
    Ok(())
}

/// Each node is killed and started again, whoever dials whom.
async fn restarts<F: TransportFixture>(lab: &Lab<F>) -> Result<(), Breach> {
    let mut stations = Vec::from(lab.start_all([A, B, C]).await?);
    for round in 0..4 {
        let dead = stations.remove(0);
        let id = dead.id();
        lab.trial.step(format!("restart no. {}, of {id}", round + 1));
        dead.kill();
        try_join_all(stations.iter_mut().map(|station| dies(lab, station, id))).await?;
        stations.push(lab.start(id).await?);
        let connecting = stations.iter_mut().map(|station| {
            let others = [A, B, C].into_iter().filter(|other| *other != station.id()).collect::<Vec<_>>();
            async move { station.connected(&others).await }
        });
        try_join_all(connecting).await?;
        let [one, two, three] = &mut stations[..] else { unreachable!("three nodes") };
        lab.exchange(one, three, round * 10, 100).await?;
        lab.exchange(two, three, round * 10 + 2, 100).await?;
        lab.exchange(one, two, round * 10 + 4, 100).await?;
    }
    Ok(())
}

/// Three lives of a sender, while the receiver takes nothing after it was told of the first.
async fn unseen_lives<F: TransportFixture>(lab: &Lab<F>) -> Result<(), Breach> {
    let [mut a, mut b] = lab.start_all([A, B]).await?;
    for life in 0..3 {
        lab.trial.step(format!("restart no. {} of {B}, while {A} looks away", life + 1));
        // As much of it as goes without the other side.
        let mut sending = b.send(A, [lab.stream(life).frames(0..COUNT)]);
        if let Some(sent) = lab.soon(&mut sending).await {
            sent?;
        }
        drop(sending);
        b.kill();
        b = lab.start(B).await?;
    }
    let last = lab.stream(3);
    let lives = [lab.stream(0), lab.stream(1), lab.stream(2), last.clone()];
    let sending = lab.in_time(|| "a `send` was not ready".to_owned(), b.send(A, [last.frames(0..COUNT)]));
    let receiving = async {
        // The life whose frames come, and the next of its frames; and whether its connection was told.
        let (mut life, mut next, mut new) = (0, 0, false);
        while life < 3 || next != COUNT {
            let frame = match a.hear_in_time(B).await? {
                Some(Heard::Frame(frame)) => frame,
                Some(Heard::Up) => {
                    new = true;
                    continue;
                }
                Some(Heard::Lost(_)) => continue,
                Some(Heard::Left) => {
                    return Err(lab.broken(format!("{A} was told that {B} left, but it was killed")));
                }
                None => {
                    return Err(T2.broken(format!("frames of the last process of {B} have not come to {A}")));
                }
            };
            let found =
                lives.iter().enumerate().find_map(|(life, stream)| Some((life, stream.number(&frame)?)));
            let Some((of, number)) = found else {
                return Err(T2.broken(format!("a frame came from {B} changed")));
            };
            if of < life {
                let seen =
                    format!("a frame of an older process of {B} came after the `up` of a newer connection");
                return Err(lab.broken(seen));
            }
            if of > life && !new {
                let seen = format!("a frame of a new process of {B} came without an `up` of its connection");
                return Err(lab.broken(seen));
            }
            let expected = if of > life { 0 } else { next };
            // Within one life a hole may be where a loss was told.
            if number != expected && (of > life || !new) {
                let seen = format!("frame {number} of a process of {B} came where frame {expected} was next");
                return Err(T2.broken(seen));
            }
            (life, next, new) = (of, number + 1, false);
        }
        Ok(())
    };
    try_join(sending, receiving).await.map(|_| ())
}

/// What is told next of the neighbour is that it is lost.
async fn dies<F: TransportFixture>(
    lab: &Lab<F>,
    station: &mut Station<F>,
    peer: NodeId,
) -> Result<(), Breach> {
    let id = station.id();
    match station.hear_in_time(peer).await? {
        Some(Heard::Lost(_)) => Ok(()),
        Some(Heard::Left) => {
            let so_far = station.so_far(peer);
            Err(lab.broken(format!("{id} was told that {peer} left, but it was killed{so_far}")))
        }
        Some(Heard::Frame(_)) => Err(T2.broken(format!("{id} got a frame from {peer} that it had not sent"))),
        Some(Heard::Up) => {
            let so_far = station.so_far(peer);
            Err(lab.broken(format!("{id} was told `up` of {peer}, which was killed{so_far}")))
        }
        None => {
            let so_far = station.so_far(peer);
            Err(lab.broken(format!("{id} was not told (`lost`) that {peer} was killed{so_far}")))
        }
    }
}

/// The frames come, and then the goodbye.
async fn leaves<F: TransportFixture>(
    lab: &Lab<F>,
    station: &mut Station<F>,
    frames: &[FrameOf<F>],
) -> Result<(), Breach> {
    station.receive(B, frames).await?;
    let id = station.id();
    match station.hear_in_time(B).await? {
        Some(Heard::Left) => Ok(()),
        Some(Heard::Lost(why)) => Err(lab.broken(format!(
            "{id} was told that {B} is lost ({why}), but it had closed; where `close` says no goodbye, set `GOODBYE` of the \
             fixture to false"
        ))),
        Some(Heard::Frame(_)) => Err(T2.broken(format!("{id} got a frame from {B} that it had not sent"))),
        Some(Heard::Up) => Err(lab.broken(format!("{id} was told `up` of {B}, which had closed"))),
        None => Err(lab.broken(format!("{id} was not told (`left`) that {B} had closed"))),
    }
}

/// Nothing is told of a neighbour that is gone.
async fn nothing_of<F: TransportFixture>(
    lab: &Lab<F>,
    station: &mut Station<F>,
    peer: NodeId,
) -> Result<(), Breach> {
    let id = station.id();
    match lab.soon(Box::pin(station.hear(peer))).await {
        None => Ok(()),
        Some(Err(breach)) => Err(breach),
        Some(Ok(_)) => Err(lab.broken(format!("{id} was told of {peer} after its end had been told"))),
    }
}
