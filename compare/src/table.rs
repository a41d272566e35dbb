//! Tables in Markdown.

use std::fmt::Display;

use crate::rounds::Figures;
use crate::statistics::{Spread, ratios, spread};

/// Rows of throughput and CPU time, each with its ratio to one of them.
pub(crate) fn throughput(rows: &[(impl Display, &Figures)], reference: usize) {
    println!("| | messages/s | relative | CPU a message | relative |\n| --- | --- | --- | --- | --- |");
    let base = rows[reference].1;
    for (name, figures) in rows {
        println!(
            "| {name} | {} | {} | {} | {} |",
            rate(spread(&figures.throughput).median),
            ratio(spread(&ratios(&figures.throughput, &base.throughput))),
            time(spread(&figures.cpu).median),
            ratio(spread(&ratios(&figures.cpu, &base.cpu))),
        );
    }
    println!();
}

/// Rows of times there and back, and of CPU time, each with its ratio to one of them.
pub(crate) fn round_trips(rows: &[(impl Display, &Figures)], reference: usize) {
    println!(
        "| | p50 | relative | p99 | CPU a round trip | relative |\n| --- | --- | --- | --- | --- | --- |"
    );
    let base = rows[reference].1;
    for (name, figures) in rows {
        println!(
            "| {name} | {} | {} | {} | {} | {} |",
            time(spread(&figures.p50).median),
            ratio(spread(&ratios(&figures.p50, &base.p50))),
            time(spread(&figures.p99).median),
            time(spread(&figures.cpu).median),
            ratio(spread(&ratios(&figures.cpu, &base.cpu))),
        );
    }
    println!();
}

/// The median, and what the rounds lie between.
pub(crate) fn ratio(Spread { median, least, most }: Spread) -> String {
    if least == most { format!("{median:.2}") } else { format!("{median:.2} ({least:.2} to {most:.2})") }
}

pub(crate) fn rate(per_second: f64) -> String {
    match per_second {
        many if many >= 1e6 => format!("{:.2} M", many / 1e6),
        some if some >= 1e4 => format!("{:.0} k", some / 1e3),
        some if some >= 1e3 => format!("{:.1} k", some / 1e3),
        few => format!("{few:.0}"),
    }
}

pub(crate) fn time(nanos: f64) -> String {
    match nanos {
        long if long >= 1e9 => format!("{:.2} s", long / 1e9),
        long if long >= 1e7 => format!("{:.0} ms", long / 1e6),
        long if long >= 1e6 => format!("{:.1} ms", long / 1e6),
        some if some >= 1e4 => format!("{:.0} µs", some / 1e3),
        some if some >= 1e3 => format!("{:.1} µs", some / 1e3),
        short => format!("{short:.0} ns"),
    }
}

pub(crate) fn bytes(count: usize) -> String {
    match count {
        many if many >= 1 << 30 => format!("{} GiB", many >> 30),
        many if many >= 1 << 20 => format!("{} MiB", many >> 20),
        some if some >= 1 << 10 => format!("{} KiB", some >> 10),
        few => format!("{few} B"),
    }
}
