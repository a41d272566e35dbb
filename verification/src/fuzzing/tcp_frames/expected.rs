//! What some bytes are as frames.

use bytes::Bytes;
use snapshot_core::{Body, Frame, Generation, Stamp};

use crate::fuzzing::blob::REFUSED;
use crate::fuzzing::forms::read_uint;

/// What the node must hand out.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) frames: Vec<Frame<Bytes>>,
    pub(super) end: End,
}

/// How the connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    Left,
    /// And this is a part of the reason.
    Lost(&'static str),
}

enum Item {
    Frame(Frame<Bytes>),
    /// And why there are no more of them.
    Run(Vec<Frame<Bytes>>, Result<(), &'static str>),
    Goodbye,
    /// What nobody is told of.
    Acknowledgement,
}

impl Expected {
    pub(super) fn of(mut bytes: &[u8], limit: usize) -> Self {
        let (mut frames, mut goodbye) = (Vec::new(), false);
        let end = loop {
            if bytes.is_empty() {
                break if goodbye { End::Left } else { End::Lost("without a goodbye") };
            }
            match item(&mut bytes, limit) {
                Err(text) => break End::Lost(text),
                Ok(_) if goodbye => break End::Lost("after its goodbye"),
                Ok(Item::Goodbye) => goodbye = true,
                Ok(Item::Acknowledgement) => {}
                Ok(Item::Frame(frame)) => frames.push(frame),
                Ok(Item::Run(run, end)) => {
                    frames.extend(run);
                    if let Err(text) = end {
                        break End::Lost(text);
                    }
                }
            }
        };
        Self { frames, end }
    }
}

fn item(bytes: &mut &[u8], limit: usize) -> Result<Item, &'static str> {
    const CUT: &str = "in the middle of a frame";
    let (head, rest) = bytes.split_first_chunk::<4>().ok_or(CUT)?;
    let length = u32::from_le_bytes(*head) as usize;
    if length == 0 {
        return Err("it is empty");
    }
    if length > limit {
        return Err("over the limit");
    }
    let (frame, behind) = rest.split_at_checked(length).ok_or(CUT)?;
    *bytes = behind;
    let [tag, rest @ ..] = frame else { unreachable!("it is not empty") };
    if (*tag, rest) == (0x40, &[][..]) {
        return Ok(Item::Goodbye);
    }
    if *tag == 0x80 {
        return if rest.len() == 8 {
            Ok(Item::Acknowledgement)
        } else {
            Err("its acknowledgement is malformed")
        };
    }
    let (stamp, body) =
        rest.split_at_checked(usize::from(tag & 0x1f)).ok_or("its stamp ends beyond its end")?;
    let stamp = read_stamp(stamp).ok_or("its stamp is malformed")?;
    if tag >> 5 == 3 {
        return run(stamp, body);
    }
    let body = Bytes::copy_from_slice(body);
    match tag >> 5 {
        0 if body.first() == Some(&REFUSED) => Err("the codec cannot decode"),
        0 => Ok(Item::Frame(Frame { stamp, body: Body::Message(body) })),
        1 => Ok(Item::Frame(Frame { stamp, body: Body::Control(body) })),
        _ => Err("of an unknown kind"),
    }
}

fn run(first: Stamp, mut body: &[u8]) -> Result<Item, &'static str> {
    const MALFORMED: &str = "a number of its run is malformed";
    let step = read_uint(&mut body).ok_or(MALFORMED)?;
    if body.is_empty() {
        return Err("a run of no messages");
    }
    let (mut frames, mut number) = (Vec::new(), Some(first.number()));
    let mut next = || {
        let length = read_uint(&mut body).ok_or(MALFORMED)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (message, rest) = body.split_at_checked(length).ok_or("ends beyond its end")?;
        body = rest;
        let here = number.expect("what comes behind the last number is refused below");
        number = here.checked_add(step);
        if !rest.is_empty() && number.is_none() {
            return Err("the numbers of its run have an end");
        }
        if message.first() == Some(&REFUSED) {
            return Err("the codec cannot decode");
        }
        let body = Body::Message(Bytes::copy_from_slice(message));
        frames.push(Frame { stamp: Stamp::new(first.generation(), here), body });
        Ok(!rest.is_empty())
    };
    let end = loop {
        match next() {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(text) => break Err(text),
        }
    };
    Ok(Item::Run(frames, end))
}

fn read_stamp(bytes: &[u8]) -> Option<Stamp> {
    let (0, mut rest) = bytes.split_first().map(|(version, rest)| (*version, rest))? else { return None };
    let generation = read_uint(&mut rest).filter(|generation| *generation > 0)?;
    let number = read_uint(&mut rest)?;
    rest.is_empty().then(|| Stamp::new(Generation(generation), number))
}
