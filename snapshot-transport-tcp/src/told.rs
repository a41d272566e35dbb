//! Which failures to reach a neighbour have been told, so that each is told once. Pure.

use std::net::SocketAddr;

/// What was told since the neighbour was last connected: for each address that its name stands for now, the last reason.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// An address is missing where the name did not resolve.
    reasons: Vec<(Option<SocketAddr>, String)>,
    failures: u64,
}

impl Told {
    /// A round begins, over these addresses. What was told of others is forgotten: it is news if they come back.
    pub(crate) fn begin(&mut self, round: &[SocketAddr]) {
        self.reasons.retain(|(tried, _)| match tried {
            Some(tried) => round.contains(tried),
            None => round.is_empty(),
        });
    }

    /// An attempt has failed. Says whether that is news.
    pub(crate) fn failed(&mut self, tried: Option<SocketAddr>, reason: String) -> bool {
        self.failures = self.failures.saturating_add(1);
        match self.reasons.iter_mut().find(|(of, _)| *of == tried) {
            Some((_, told)) if *told == reason => return false,
            Some((_, told)) => *told = reason,
            None => self.reasons.push((tried, reason)),
        }
        true
    }

    /// The neighbour is connected, and every failure from here on is news. Says how many attempts had failed.
    pub(crate) fn connected(&mut self) -> u64 {
        std::mem::take(self).failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: &str = "Connection refused";

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// A round in which all of these addresses fail so: for which it is news.
    fn round<const N: usize>(told: &mut Told, of: [(u16, &str); N]) -> [bool; N] {
        told.begin(&of.map(|(port, _)| at(port)));
        of.map(|(port, reason)| told.failed(Some(at(port)), reason.to_owned()))
    }

    fn unresolved(told: &mut Told) -> bool {
        told.begin(&[]);
        told.failed(None, "no such name".to_owned())
    }

    #[test]
    fn each_address_of_a_name_is_told_once() {
        let told = &mut Told::default();
        assert_eq!(round(told, [(1, REFUSED), (2, "another group")]), [true; 2]);
        assert_eq!(round(told, [(2, "another group"), (1, REFUSED)]), [false; 2]);
    }

    #[test]
    fn another_reason_is_told_and_the_first_one_again_behind_it() {
        let told = &mut Told::default();
        let reasons = [REFUSED, REFUSED, "too slow", "too slow", REFUSED];
        assert_eq!(
            reasons.map(|reason| round(told, [(1, reason)])),
            [[true], [false], [true], [false], [true]]
        );
    }

    #[test]
    fn another_address_is_told_and_the_first_one_again_behind_it() {
        let told = &mut Told::default();
        let ports = [1, 1, 2, 2, 1];
        assert_eq!(
            ports.map(|port| round(told, [(port, REFUSED)])),
            [[true], [false], [true], [false], [true]]
        );
        assert_eq!(told.reasons.len(), 1, "no more is kept than what the name stands for");
    }

    #[test]
    fn a_name_that_resolves_or_no_longer_does_is_told() {
        let told = &mut Told::default();
        assert_eq!([(); 2].map(|()| unresolved(told)), [true, false]);
        assert_eq!([(); 2].map(|()| round(told, [(1, REFUSED)])), [[true], [false]]);
        assert_eq!([(); 2].map(|()| unresolved(told)), [true, false]);
        assert_eq!([(); 2].map(|()| round(told, [(1, REFUSED)])), [[true], [false]]);
    }

    #[test]
    fn after_a_connection_everything_is_news() {
        let told = &mut Told::default();
        assert_eq!(told.connected(), 0);
        for _ in 0..3 {
            round(told, [(1, REFUSED)]);
        }
        assert_eq!(told.connected(), 3);
        assert_eq!(round(told, [(1, REFUSED)]), [true]);
        assert_eq!(told.connected(), 1);
    }
}
