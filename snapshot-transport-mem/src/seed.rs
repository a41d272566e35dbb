//! Random numbers that a seed decides: nothing here is secret or strong.

use snapshot_core::NodeId;

/// SplitMix64 (Steele, Lea, Flood 2014): eight bytes of state, so that every channel can have its own.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix64(u64);

impl SplitMix64 {
    #[cfg(feature = "simulation")]
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The sequence of one channel. It depends on nothing but the seed and the two names, so that traffic on one channel,
    /// or a further member of the group, does not change the delays of another.
    pub(crate) fn of_channel(seed: u64, from: NodeId, to: NodeId) -> Self {
        let mut mixed = seed;
        for id in [from, to] {
            mixed = Self(mixed ^ id.0).next();
        }
        Self(mixed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_published_one() {
        // The first outputs for the state 1234567, as in the reference implementation's test vector.
        let mut random = SplitMix64(1_234_567);
        assert_eq!(
            [random.next(), random.next(), random.next()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn the_two_directions_of_a_pair_differ() {
        let (a, b) = (NodeId(1), NodeId(2));
        assert_ne!(SplitMix64::of_channel(7, a, b).next(), SplitMix64::of_channel(7, b, a).next());
    }
}
