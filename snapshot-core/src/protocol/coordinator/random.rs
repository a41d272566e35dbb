//! Random numbers from one seed: a node's life and its nonces.

/// SplitMix64 (Steele, Lea & Flood 2014): small, and one seed gives one sequence.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct SplitMix(pub(super) u64);

impl SplitMix {
    pub(super) fn draw(&mut self) -> u64 {
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
    fn it_gives_the_numbers_that_all_implementations_give() {
        // The first of the seed 1234567, as in the test vectors that other implementations publish.
        let mut random = SplitMix(1_234_567);
        let numbers = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(std::array::from_fn::<_, 5, _>(|_| random.draw()), numbers);
    }
}
