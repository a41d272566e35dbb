//! How many handshakes run at a time, and who gives way when there are more. Pure.
//!
//! Whoever comes is let in, and the oldest handshake gives way where there are too many: of the address that has come, if it has its share,
//! and otherwise of the address that has most. A handshake takes a few round trips, so a neighbour is through before a flood has pushed
//! it out; it does not wait behind strangers who say nothing, and strangers at one address push out only each other.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};

/// Where connections come from, as far as it tells strangers apart: whoever has one address of IPv6 has all 2^64 of its network.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Source(IpAddr);

/// The handshakes that run.
#[derive(Debug)]
pub(crate) struct HalfOpen {
    most: usize,
    most_of_one: usize,
    count: usize,
    /// By where they come from, the oldest first. Nobody is kept without one.
    running: BTreeMap<Source, VecDeque<u64>>,
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            v4 => v4,
        })
    }
}

impl HalfOpen {
    /// At least one of each.
    pub(crate) fn new(most: usize, most_of_one: usize) -> Self {
        Self { most: most.max(1), most_of_one: most_of_one.max(1), count: 0, running: BTreeMap::new() }
    }

    /// One more begins. Says which one gives way to it.
    pub(crate) fn begin(&mut self, number: u64, source: Source) -> Option<u64> {
        let of_this = self.running.get(&source).map_or(0, VecDeque::len);
        let victim = if of_this >= self.most_of_one {
            Some(source)
        } else if self.count >= self.most {
            self.running.iter().max_by_key(|(_, running)| running.len()).map(|(source, _)| *source)
        } else {
            None
        };
        let given_up = victim.and_then(|victim| self.oldest(victim));
        self.running.entry(source).or_default().push_back(number);
        self.count += 1;
        given_up
    }

    /// One is over, however.
    pub(crate) fn end(&mut self, number: u64, source: Source) {
        let Some(running) = self.running.get_mut(&source) else { return };
        let before = running.len();
        running.retain(|other| *other != number);
        self.count -= before - running.len();
        if running.is_empty() {
            self.running.remove(&source);
        }
    }

    fn oldest(&mut self, source: Source) -> Option<u64> {
        let number = *self.running.get(&source)?.front()?;
        self.end(number, source);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8) -> Source {
        Source::from(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn one_address_pushes_out_only_its_own() {
        let mut half_open = HalfOpen::new(10, 3);
        let given_up: Vec<_> = (1..=6).map(|number| half_open.begin(number, at(1))).collect();
        assert_eq!(given_up, [None, None, None, Some(1), Some(2), Some(3)]);
        assert_eq!(half_open.begin(7, at(2)), None);
        half_open.end(4, at(1));
        assert_eq!(half_open.begin(8, at(1)), None, "one that is over makes room");
        assert_eq!(half_open.begin(9, at(1)), Some(5));
        half_open.end(5, at(1));
        assert_eq!(half_open.count, 4, "one that has given way is over once");
    }

    #[test]
    fn when_all_is_full_the_address_that_has_most_gives_way() {
        let mut half_open = HalfOpen::new(6, 4);
        for number in 1..=4 {
            assert_eq!(half_open.begin(number, at(1)), None);
        }
        assert_eq!([5, 6].map(|number| half_open.begin(number, at(2))), [None, None]);
        assert_eq!([7, 8].map(|number| half_open.begin(number, at(3))), [Some(1), Some(2)]);
    }

    #[test]
    fn whatever_comes_there_are_never_more_and_the_newest_is_always_among_them() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (most, most_of_one) = (random.usize(1..20), random.usize(1..8));
            let mut half_open = HalfOpen::new(most, most_of_one);
            let mut running = BTreeMap::new();
            for number in 0..500 {
                if random.bool() && !running.is_empty() {
                    let (number, source) =
                        *random.choice(&running.clone().into_iter().collect::<Vec<_>>()).unwrap();
                    running.remove(&number);
                    half_open.end(number, source);
                }
                let source = at(random.u8(..6));
                let given_up = half_open.begin(number, source);
                if let Some(given_up) = given_up {
                    assert!(running.remove(&given_up).is_some(), "seed {seed}: {given_up} was over");
                }
                running.insert(number, source);
                assert_eq!(half_open.count, running.len(), "seed {seed}");
                assert!(running.len() <= most, "seed {seed}");
                let of_this = running.values().filter(|other| **other == source).count();
                assert!(of_this <= most_of_one, "seed {seed}");
            }
            for (number, source) in running {
                half_open.end(number, source);
            }
            assert!(half_open.count == 0 && half_open.running.is_empty(), "seed {seed}");
        }
    }

    #[test]
    fn a_network_of_one_host_is_one_source() {
        let source = |text: &str| Source::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:2"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:10.0.0.1"), at(1));
        assert_ne!(at(1), at(2));
    }
}
