//! What is sent, and whether what has come is the same.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use snapshot_core::{Body, Frame, Generation, NodeId, Stamp};

use super::{Breach, T1, T2, TransportFixture};

/// The frames of one process to one neighbour, numbered from 0 in their stamps: any of them can be made again at any time.
pub(super) struct Stream<F> {
    fixture: Arc<F>,
    origin: u64,
    size: usize,
}

impl<F> Clone for Stream<F> {
    fn clone(&self) -> Self {
        Self { fixture: Arc::clone(&self.fixture), origin: self.origin, size: self.size }
    }
}

impl<F: TransportFixture> Stream<F> {
    /// Streams of different origins have nothing in common. Every fourth message has `size` bytes, the others are small.
    pub(super) fn new(fixture: &Arc<F>, origin: u64, size: usize) -> Self {
        Self { fixture: Arc::clone(fixture), origin, size }
    }

    /// A message or, at some places, a control frame. At every place of the first ones there is another neighbourhood.
    pub(super) fn frame(&self, number: u64) -> Frame<F::Message> {
        let mixed = (number + self.origin).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
        match mixed {
            0..5 => self.control(number, [0, 1, 20, 300, 3][mixed as usize]),
            5..9 => self.message(number, self.size),
            _ => self.message(number, 16),
        }
    }

    pub(super) fn frames(&self, numbers: impl IntoIterator<Item = u64>) -> Vec<Frame<F::Message>> {
        numbers.into_iter().map(|number| self.frame(number)).collect()
    }

    pub(super) fn message(&self, number: u64, size: usize) -> Frame<F::Message> {
        let message = self.fixture.message((self.origin << 32) + number, size.min(F::LARGEST));
        Frame { stamp: self.stamp(number), body: Body::Message(message) }
    }

    pub(super) fn control(&self, number: u64, len: usize) -> Frame<F::Message> {
        let bytes = (0..len as u64).map(|at| (self.origin + number + at) as u8).collect::<Vec<_>>();
        Frame { stamp: self.stamp(number), body: Body::Control(bytes.into()) }
    }

    fn stamp(&self, number: u64) -> Stamp {
        Stamp::new(Generation(self.origin + 1), number)
    }

    /// Batches without end, of 1 to 20 frames.
    pub(super) fn endless(&self) -> impl Iterator<Item = Vec<Frame<F::Message>>> + Send + 'static + use<F> {
        let stream = self.clone();
        (0_u64..).map(move |batch| {
            // Twenty batches are 210 frames.
            let (round, place) = (batch / 20, batch % 20);
            let first = round * 210 + place * (place + 1) / 2;
            stream.frames(first..first + place + 1)
        })
    }

    /// The number of a frame of this stream; `None` where it is none, or a changed one.
    pub(super) fn number(&self, frame: &Frame<F::Message>) -> Option<u64> {
        let number = frame.stamp.number();
        (frame.stamp == self.stamp(number) && self.frame(number) == *frame).then_some(number)
    }
}

/// Frames such as no honest node would send, but every transport must carry: it understands neither stamp nor control.
pub(super) fn odd_frames<F: TransportFixture>(stream: &Stream<F>) -> Vec<Frame<F::Message>> {
    // Among them what a double has no place for, and so is lost in JavaScript and in some forms of JSON.
    const DOUBLE: u64 = (1 << 53) + 1;
    let stamps = [
        (1, 1),
        (1, 0),
        (u64::MAX, u64::MAX),
        (1, u64::MAX),
        (u64::MAX, 0),
        (3, 127),
        (2, 128),
        (300, 5),
        (1, DOUBLE),
        (DOUBLE, 1),
        (DOUBLE + 2, (1 << 63) - 1),
        ((1 << 63) + 1, (1 << 63) + 1),
        ((1 << 32) + 1, u64::MAX - 1),
    ];
    let stamps = stamps.map(|(generation, number)| Stamp::new(Generation(generation), number));
    let mut frames = Vec::new();
    for (index, stamp) in (0..).zip(stamps) {
        frames.push(Frame { stamp, body: Body::Control(Bytes::new()) });
        frames.push(Frame { stamp, body: stream.message(index, 10).body });
        frames.push(Frame { stamp, body: Body::Control(Bytes::from_static(&[0xff, 0, 0x0a, 0x80])) });
        // The same again, which is no repetition.
        frames.push(Frame { stamp, body: stream.message(index, 10).body });
        frames.push(Frame { stamp, body: Body::Control(Bytes::new()) });
        frames.push(Frame { stamp, body: Body::Control(Bytes::new()) });
    }
    frames
}

/// Messages of many sizes up to the fixture's largest, around the sizes of usual buffers, and small ones in between.
pub(super) fn sizes<F: TransportFixture>(stream: &Stream<F>) -> Vec<Frame<F::Message>> {
    let powers = (3..24).map(|power| 1_usize << power).flat_map(|size| [size - 1, size, size + 1]);
    let sizes =
        [0, 1, 2].into_iter().chain(powers.take_while(|size| *size < F::LARGEST)).chain([F::LARGEST, 1]);
    let mut frames = Vec::new();
    for (index, size) in (0..).zip(sizes) {
        frames.push(stream.message(2 * index, size));
        frames.push(stream.control(2 * index + 1, size % 300));
    }
    frames
}

/// Whether what has come from `from` is what was sent, all of it and nothing else. Where it came in another order that is
/// T1, else T2.
pub(super) fn compare<M: PartialEq + fmt::Debug>(
    from: NodeId,
    sent: &[Frame<M>],
    came: &[Frame<M>],
) -> Result<(), Breach> {
    if sent == came {
        return Ok(());
    }
    let mut taken = vec![false; sent.len()];
    let mut last: Option<usize> = None;
    let mut stray = None;
    for frame in came {
        let free = |index: &usize| !taken[*index] && sent[*index] == *frame;
        // Of equal frames the next one, so that a lost one does not look like a change of order.
        let after = last.map_or(0, |last| last + 1);
        let found = (after..sent.len()).find(free).or_else(|| (0..after).find(free));
        match (found, last) {
            (Some(index), Some(last)) if index < last => {
                let (earlier, later) = (Name(&sent[index]), Name(&sent[last]));
                return Err(T1.broken(format!(
                    "from {from}, {later} came before {earlier}, which was sent before it"
                )));
            }
            (Some(index), _) => {
                taken[index] = true;
                last = Some(index);
            }
            (None, _) => stray = stray.or(Some(frame)),
        }
    }
    let missing = taken.iter().position(|taken| !taken).map(|index| &sent[index]);
    let seen = match (stray, missing) {
        (Some(stray), _) if sent.contains(stray) => {
            format!("{} came from {from} once more than it was sent", Name(stray))
        }
        (Some(stray), Some(sent)) if stray.stamp == sent.stamp => {
            format!("{} came from {from} changed: {}", Name(sent), Name(stray))
        }
        (Some(stray), Some(sent)) => format!("{} came from {from} in place of {}", Name(stray), Name(sent)),
        (Some(stray), None) => format!("{} came from {from}, which has not sent it", Name(stray)),
        (None, Some(sent)) => format!("{} from {from} has not come, and no loss was told", Name(sent)),
        (None, None) => return Ok(()),
    };
    Err(T2.broken(seen))
}

/// A frame in a few words.
pub(super) struct Name<'a, M>(pub(super) &'a Frame<M>);

impl<M: fmt::Debug> fmt::Display for Name<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Frame { stamp, body } = self.0;
        match body {
            Body::Control(bytes) => write!(f, "frame {stamp:?} (control, {} bytes)", bytes.len()),
            Body::Message(message) => {
                let text = format!("{message:?}");
                match text.char_indices().nth(40) {
                    Some((end, _)) => write!(f, "frame {stamp:?} (message {}…)", &text[..end]),
                    None => write!(f, "frame {stamp:?} (message {text})"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(numbers: &[u64]) -> Vec<Frame<u64>> {
        let frame = |n: &u64| Frame { stamp: Stamp::new(Generation(1), *n), body: Body::Message(*n) };
        numbers.iter().map(frame).collect()
    }

    fn verdict(sent: &[u64], came: &[u64]) -> String {
        compare(NodeId(2), &frames(sent), &frames(came))
            .map_or_else(|breach| breach.to_string(), |()| "fine".to_owned())
    }

    #[test]
    fn what_happened_to_frames_is_told_apart() {
        assert_eq!(verdict(&[1, 2, 3], &[1, 2, 3]), "fine");
        assert!(verdict(&[1, 2, 3], &[1, 3, 2]).contains("frame g1#3 (message 3) came before frame g1#2"));
        assert!(verdict(&[1, 2, 3], &[1, 3]).contains("frame g1#2 (message 2) from n2 has not come"));
        assert!(verdict(&[1, 2, 3], &[1, 2, 2]).contains("frame g1#2 (message 2) came from n2 once more"));
        assert!(
            verdict(&[1, 2, 3], &[1, 7, 3])
                .contains("frame g1#7 (message 7) came from n2 in place of frame g1#2 (message 2)")
        );
        assert!(
            verdict(&[1, 2], &[1, 2, 7])
                .contains("frame g1#7 (message 7) came from n2, which has not sent it")
        );
        assert!(verdict(&[1, 2, 1], &[2, 1]).starts_with("T2"), "of equal frames one was lost");
    }
}
