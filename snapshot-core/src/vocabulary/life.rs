//! Which process of a node it is that speaks on a connection, and which of two is the older one.

use crate::vocabulary::id::Generation;
use crate::vocabulary::malformed::Malformed;

/// Says which process of a node is at one end of a connection, in its handshake: a number that each process draws, and the newest
/// generation in which it has spoken.
///
/// A node may have two processes that live: one that was thought dead, and its successor. Of two, the one that has spoken in the newer
/// generation is the successor, since it takes its place there before it speaks. The other one may not take a connection from it:
/// [`gives_way_to`](Self::gives_way_to).
///
/// [`LinkTransport`](crate::LinkTransport) does this with what the handshake of the application brings. In a transport of your own,
/// each process draws a number when it starts; the generation is the largest in the stamps of the frames that it was given to send.
/// Whoever takes a connection compares what it is told with the connection that stands, whose generation is the larger one of
/// what was told when it was made, and the stamps of the frames that came on it.
///
/// ```
/// use snapshot_core::{Generation, Life};
/// let old = Life::new(7).speaking(Generation(4));
/// let successor = Life::new(9).speaking(Generation(5));
/// assert!(old.gives_way_to(successor) && !successor.gives_way_to(old));
/// assert!(!old.gives_way_to(old.speaking(Generation(5))), "that is itself");
/// assert!(!Life::new(11).gives_way_to(successor), "it has just started, and may be the next one");
/// assert_eq!(Life::from_bytes(&old.to_bytes())?, old);
/// # Ok::<(), snapshot_core::Malformed>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Life {
    number: u64,
    /// 0: none yet.
    generation: u64,
}

impl Life {
    /// The length of the [byte form](Self::to_bytes).
    pub const LEN: usize = 16;

    /// A process that has said nothing yet. `number` must be another one in each process: best a random one.
    pub fn new(number: u64) -> Self {
        Self { number, generation: 0 }
    }

    /// The same process, which has spoken in this generation. One that is older than what it has spoken in changes nothing.
    #[must_use]
    pub fn speaking(self, generation: Generation) -> Self {
        Self { generation: self.generation.max(generation.0), ..self }
    }

    /// The newest generation in which it has spoken; `None`: it has just started.
    pub fn generation(self) -> Option<Generation> {
        (self.generation > 0).then_some(Generation(self.generation))
    }

    /// Whether this process may not take the connection from the one that has it: that is another one, and this one has spoken, but
    /// only in older generations. Without a store all speak in the same one, and nobody gives way.
    pub fn gives_way_to(self, standing: Self) -> bool {
        self.number != standing.number && (1..standing.generation).contains(&self.generation)
    }

    /// The byte form: both numbers, little-endian.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        (u128::from(self.generation) << u64::BITS | u128::from(self.number)).to_le_bytes()
    }

    /// Reads the byte form.
    ///
    /// # Errors
    ///
    /// If these are not [`LEN`](Self::LEN) bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let (number, generation) =
            bytes.split_first_chunk().ok_or(Malformed::new("a life that is cut short"))?;
        let generation = generation.try_into().map_err(|_| Malformed::new("a life of another length"))?;
        Ok(Self { number: u64::from_le_bytes(*number), generation: u64::from_le_bytes(generation) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_process_that_has_spoken_in_older_generations_gives_way() {
        let life = |number, generation| Life { number, generation };
        for (theirs, standing, gives_way) in [
            ((1, 3), (2, 4), true),
            ((1, 4), (2, 4), false),
            ((1, 5), (2, 4), false),
            ((1, 3), (1, 4), false),
            ((1, 0), (2, 4), false),
            ((1, 3), (2, 0), false),
        ] {
            let [theirs, standing] = [theirs, standing].map(|(number, generation)| life(number, generation));
            assert_eq!(theirs.gives_way_to(standing), gives_way, "{theirs:?} {standing:?}");
        }
    }

    #[test]
    fn a_life_comes_back_from_its_bytes_and_from_no_others() {
        let life = Life::new(u64::MAX - 1).speaking(Generation(300));
        let bytes = life.to_bytes();
        assert_eq!(bytes[..8], (u64::MAX - 1).to_le_bytes());
        assert_eq!(bytes[8..], 300_u64.to_le_bytes());
        assert_eq!(Life::from_bytes(&bytes), Ok(life));
        for length in 0..Life::LEN {
            assert!(Life::from_bytes(&bytes[..length]).is_err());
        }
        assert!(Life::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn a_life_speaks_in_the_newest_generation() {
        let life = Life::new(1);
        assert_eq!(life.generation(), None);
        assert_eq!(life.speaking(Generation(3)).speaking(Generation(2)).generation(), Some(Generation(3)));
    }
}
