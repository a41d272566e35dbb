//! Medians and ratios of rounds.

/// A figure of each round.
pub(crate) type Rounds = Vec<f64>;

/// Median, least and greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

pub(crate) fn spread(rounds: &[f64]) -> Spread {
    let mut rounds = rounds.to_vec();
    rounds.sort_by(f64::total_cmp);
    let last = rounds.len() - 1;
    Spread {
        median: (rounds[last / 2] + rounds[rounds.len() / 2]) / 2.0,
        least: rounds[0],
        most: rounds[last],
    }
}

/// Round by round, so that a busy machine slows both.
pub(crate) fn ratios(rounds: &[f64], reference: &[f64]) -> Rounds {
    rounds.iter().zip(reference).map(|(figure, reference)| figure / reference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_two_in_the_middle() {
        assert_eq!(spread(&[4.0, 1.0, 3.0, 2.0]), Spread { median: 2.5, least: 1.0, most: 4.0 });
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Spread { median: 2.0, least: 1.0, most: 3.0 });
    }
}
