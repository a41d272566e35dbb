//! The second release of `schema_change` goes on where the first one stood, and the first one refuses what the second wrote.

use std::process::Command;

#[test]
fn the_program_restores_version_1_into_version_2_and_refuses_the_way_back() {
    let output = Command::new(env!("CARGO_BIN_EXE_schema_change")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));

    let lines: Vec<&str> = text.lines().collect();
    let line = |begins: &str| lines.iter().position(|line| line.contains(begins)).expect(&text);
    // Whole coins, payments under way among them; then hundredths, from a rollback to that snapshot on.
    assert!(line(", version 1") < line("Till { coins: "), "{text}");
    assert!(line("  Coins(") < line("g2 begins, at "), "{text}");
    assert!(line("g2 begins, at ") < line(", version 2"), "{text}");
    assert!(line(", version 2") < line("Till { cents: "), "{text}");

    let [.., refused, end] = &lines[..] else { panic!("{text}") };
    // It names node and snapshot, both versions, and what to do; and it does not read like damage.
    assert!(refused.starts_with("the first release again: the part of n1 in snapshot g2/"), "{refused}");
    assert!(
        refused.ends_with(
            ") is undamaged, and cannot be used here: the state was written by a newer release of the application \
             (version 2; this one reads up to version 1): run the newer release, or put back a copy of the store from \
             before it ran"
        ),
        "{refused}"
    );
    let arrived: u64 = end.split_once(' ').unwrap().0.parse().unwrap();
    assert!(arrived > 0, "{end}");
    assert_eq!(
        *end,
        format!(
            "{arrived} payments of the first release arrived once, 200000 hundredths in each snapshot, downgrade \
             refused: ok"
        )
    );
}
