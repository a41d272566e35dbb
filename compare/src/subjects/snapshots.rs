//! A snapshot each second, and none.

use std::path::Path;
use std::time::Duration;

use crate::flags::Flags;
use crate::process::Process;
use crate::rounds::{self, Pace};
use crate::setup::{End, Setup};
use crate::statistics::spread;
use crate::table;
use crate::way::Way;
use crate::ways::MEMBERS;

const SIZE: usize = 64;
const INTERVAL: Duration = Duration::from_secs(1);

pub(crate) fn compare(flags: &Flags) {
    println!(
        "\n## A snapshot each second\n\n{MEMBERS} processes, {SIZE} bytes from each to all others, a state of some bytes, a store on the \
         disk; relative to the same without snapshots.\n"
    );
    let window = INTERVAL * if flags.quick { 3 } else { 5 };
    let rows = [("none", None), ("each second", Some(INTERVAL))];
    let folders = std::cell::RefCell::new(Vec::new());
    let figures = rounds::compare(Pace { window, ..flags.pace() }, &rows, |(_, interval)| {
        let folder = flags.store();
        let processes = group(folder.path(), *interval);
        folders.borrow_mut().push(folder);
        processes
    });
    table::throughput(&rows.iter().map(|(name, _)| name).zip(&figures).collect::<Vec<_>>(), 0);
    let seen = spread(&figures[1].snapshots).median;
    println!("In a round of {} s there were {seen} snapshots.\n", window.as_secs());
}

fn group(folder: &Path, interval: Option<Duration>) -> Vec<Process> {
    let (mut processes, mut addresses) = (Vec::new(), Vec::new());
    for _ in 0..MEMBERS {
        let end = End::Member(addresses.clone());
        let folder = Some(folder.to_owned());
        let mut process = Process::start(&Setup { end, folder, interval, ..Setup::new(Way::Group, SIZE) });
        addresses.push(process.hear("address"));
        processes.push(process);
    }
    processes
}
