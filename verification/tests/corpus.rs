//! The kept inputs of all fuzz targets, on any toolchain.

use std::alloc::System;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use cap::Cap;
use snapshot_verification::fuzzing::{TARGETS, Target, target};

/// As in the fuzzer: who asks for more at one time breaks a bound, and the process ends.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, 256 << 20);

fn inputs(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths
}

fn replay(name: &str) {
    let Target { run, show, .. } = target(name).expect("there is such a target");
    let inputs = inputs(name);
    assert!(inputs.len() >= 10, "{name} has only {} inputs", inputs.len());
    for path in inputs {
        let bytes = fs::read(&path).unwrap();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(&bytes))) {
            eprintln!("the input {} is {}", path.display(), show(&bytes));
            resume_unwind(panic);
        }
    }
}

#[test]
fn every_target_has_its_test_here_and_its_binary_there() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let binaries = fs::read_dir(fuzz).unwrap().count();
    let here = include_str!("corpus.rs");
    for Target { name, .. } in TARGETS {
        assert!(here.contains(&format!("replay(\"{name}\")")), "{name} is not replayed");
    }
    assert_eq!(TARGETS.len(), binaries);
}

#[test]
fn frames_from_a_neighbour_that_sends_anything() {
    replay("tcp_frames");
}

#[test]
fn handshakes_with_anybody() {
    replay("tcp_greeting");
}

#[test]
fn tls_with_anybody() {
    replay("tcp_tls");
}

#[test]
fn parts_that_are_any_bytes() {
    replay("part");
}

#[test]
fn journals_and_seats_that_are_any_bytes() {
    replay("journal");
}

#[test]
fn two_nodes_and_a_liar() {
    replay("coordinator");
}

#[test]
fn a_node_on_a_transport_that_keeps_no_contract() {
    replay("node");
}
