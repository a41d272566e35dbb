//! What a worker tells its parent, a line each.

use std::fmt;
use std::str::FromStr;

/// Something a worker tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Report {
    /// The node runs.
    Started,
    /// A reader has passed this many bytes of its range.
    Passed(u64),
    /// A snapshot is committed.
    Committed,
    /// The group has gone back, and this generation has begun.
    RolledBack(u64),
    /// A counter has all words, and a committed snapshot says so.
    Final,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => f.write_str("started"),
            Self::Passed(bytes) => write!(f, "passed {bytes}"),
            Self::Committed => f.write_str("committed"),
            Self::RolledBack(generation) => write!(f, "rolled-back {generation}"),
            Self::Final => f.write_str("final"),
        }
    }
}

impl FromStr for Report {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let unknown = || format!("a worker said '{line}', which means nothing");
        let number = |text: &str| text.parse().map_err(|_| unknown());
        match line.split_once(' ') {
            None if line == "started" => Ok(Self::Started),
            None if line == "committed" => Ok(Self::Committed),
            None if line == "final" => Ok(Self::Final),
            Some(("passed", bytes)) => Ok(Self::Passed(number(bytes)?)),
            Some(("rolled-back", generation)) => Ok(Self::RolledBack(number(generation)?)),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_report_comes_back_from_its_line() {
        for report in
            [Report::Started, Report::Passed(7), Report::Committed, Report::RolledBack(2), Report::Final]
        {
            assert_eq!(report.to_string().parse(), Ok(report));
        }
        for line in ["", "passed", "passed x", "started 1", "rolled-back -1"] {
            assert!(line.parse::<Report>().is_err(), "{line}");
        }
    }
}
