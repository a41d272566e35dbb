//! Everything happens to the bank and to the key-value server that can, briefly. They end well only if nothing was lost.

use std::process::{Command, Output};

use serde_json::Value;

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().expect("the program can be started")
}

fn said(output: &Output) -> String {
    let [out, err] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    format!("{}\n--- output\n{out}\n--- errors\n{err}", output.status)
}

fn bank(more: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = folder.path().join("run");
    let store = store.to_str().expect("a plain name");
    run(env!("CARGO_BIN_EXE_bank"), &[&["--accounts", "20", "--json", "--store", store], more].concat())
}

fn events(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect()
}

#[test]
fn the_bank_gets_over_everything() {
    let output = bank(&["--chaos", "4", "--seed", "3"]);
    assert!(output.status.success(), "{}", said(&output));
    let events = events(&output);
    let of_kind = |kind: &str| events.iter().filter(|event| event["event"] == kind).count() as u64;
    let end = events.last().expect("an end");
    assert_eq!((&end["ok"], &end["lost"], &end["total"]), (&true.into(), &0.into(), &80_000.into()), "{end}");
    // Each fault that was begun is one that was got over.
    assert!(of_kind("fault") > 0 && of_kind("recovered") > 0, "{}", said(&output));
    assert_eq!(end["faults"].as_u64(), Some(of_kind("fault")));
    let rows = end["table"].as_array().expect("a table");
    assert_eq!(rows.iter().filter_map(|row| row["count"].as_u64()).sum::<u64>(), of_kind("fault"));
    assert!(end["snapshots"].as_u64() > Some(of_kind("recovered") / 2), "{end}");
}

#[test]
fn a_bank_that_makes_a_mistake_is_caught_and_the_faults_can_be_had_again() {
    let output = bank(&["--chaos", "60", "--seed", "5", "--plant", "duplicate"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().last().unwrap_or_default();
    assert!(
        last.contains("coins in the cut") || last.contains("the check 'money' has failed"),
        "{}",
        said(&output)
    );
}

#[test]
fn one_branch_alone_has_nobody_to_agree_with() {
    let output = bank(&["--chaos", "1", "--nodes", "1"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("two branches at least"), "{}", said(&output));
}

#[test]
fn the_key_value_server_has_what_it_acknowledged_whatever_happens() {
    let output = run(env!("CARGO_BIN_EXE_existing_app"), &["--chaos", "4", "--seed", "3"]);
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    assert!(last.ends_with("acknowledged writes, lost: 0: ok"), "{}", said(&output));
    assert!(text.contains("fault 1: ") && !last.starts_with("0 faults"), "{}", said(&output));
}
