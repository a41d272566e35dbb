//! Runs the `wordcount` program, processes, kills and all, and compares what it prints with a straight count.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Inputs in a folder of their own, which is also where the program puts its temporary files.
struct Desk {
    folder: tempfile::TempDir,
    files: Vec<PathBuf>,
}

impl Desk {
    fn new(contents: &[&[u8]]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |(index, bytes): (usize, &&[u8])| {
            let path = folder.path().join(format!("input {index}"));
            fs::write(&path, bytes).expect("a file is written");
            path
        };
        let files = contents.iter().enumerate().map(write).collect();
        fs::create_dir(folder.path().join("temporary")).expect("a folder is made");
        Self { files, folder }
    }

    fn command(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wordcount"));
        command.env("TMPDIR", self.temporary()).args(flags).args(&self.files);
        command
    }

    fn temporary(&self) -> PathBuf {
        self.folder.path().join("temporary")
    }

    /// Runs the program, and checks all that it claims.
    fn check(&self, workers: usize, kills: usize, seed: u64) {
        let [workers, kills_flag, seed] = [workers.to_string(), kills.to_string(), seed.to_string()];
        let flags = ["--workers", &workers, "--kills", &kills_flag, "--seed", &seed];
        let Output { status, stdout, stderr } = self.command(&flags).output().expect("the program runs");
        let stderr = String::from_utf8_lossy(&stderr);
        let context = format!("{flags:?}: {stderr}");
        assert!(status.success(), "{context}");
        let bytes: Vec<u8> =
            self.files.iter().flat_map(|file| fs::read(file).expect("it is there")).collect();
        assert!(stdout == counted(&bytes), "the counts differ. {context}");
        let summary = stderr.lines().last().unwrap_or_default();
        let words: Vec<&str> = summary.split(' ').collect();
        assert_eq!(words[..3], ["wordcount:", &kills_flag, "kills,"], "{context}");
        let rollbacks: usize = words[3].parse().expect("a number of rollbacks");
        assert_eq!(rollbacks > 0, kills > 0, "{context}");
        let left = fs::read_dir(self.temporary()).expect("it is there").count();
        assert_eq!(left, 0, "temporary files are left. {context}");
    }
}

fn is_space(byte: &u8) -> bool {
    b" \t\n\x0b\x0c\r".contains(byte)
}

/// What the program must print, counted the straight way.
fn counted(bytes: &[u8]) -> Vec<u8> {
    let mut counts: BTreeMap<&[u8], u64> = BTreeMap::new();
    for word in bytes.split(is_space).filter(|word| !word.is_empty()) {
        *counts.entry(word).or_default() += 1;
    }
    let line = |(word, count): (&[u8], u64)| [count.to_string().as_bytes(), b"\t", word, b"\n"].concat();
    counts.into_iter().flat_map(line).collect()
}

/// Words of all bytes between white space of all kinds: some frequent, some rare, a few of them long.
fn random_text(random: &mut fastrand::Rng, bytes: usize) -> Vec<u8> {
    let spaces = b" \t\n\x0b\x0c\r";
    let mut text = Vec::with_capacity(bytes + 1000);
    while text.len() < bytes {
        for _ in 0..random.usize(1..3) {
            text.push(spaces[random.usize(..spaces.len())]);
        }
        match random.u8(..100) {
            0 => text.extend((0..random.usize(100..1000)).map(|_| b'l')),
            1..70 => text.extend_from_slice(format!("w{}", random.u32(..50).pow(2)).as_bytes()),
            _ => text.extend((0..random.usize(1..9)).map(|_| random.u8(..)).filter(|byte| !is_space(byte))),
        }
    }
    text
}

#[test]
fn random_bytes_are_counted_right_whoever_is_killed() {
    for (seed, (workers, kills)) in (0..).zip([(1, 1), (2, 0), (3, 2), (5, 3)]) {
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let texts: Vec<Vec<u8>> = (0..3).map(|_| random_text(&mut random, 60_000)).collect();
        Desk::new(&texts.iter().map(Vec::as_slice).collect::<Vec<_>>()).check(workers, kills, seed);
    }
}

#[test]
fn a_few_megabytes_are_counted_right() {
    let seed = 7;
    println!("seed {seed}");
    let text = random_text(&mut fastrand::Rng::with_seed(seed), 4_000_000);
    Desk::new(&[&text]).check(3, 2, seed);
}

#[test]
fn files_are_one_stream_so_a_word_may_go_on_in_the_next() {
    Desk::new(&[b"some wo", b"", b"rds in", b" par", b"t", b"s\n"]).check(2, 1, 1);
}

#[test]
fn without_words_there_are_kills_all_the_same() {
    Desk::new(&[b""]).check(2, 2, 1);
    Desk::new(&[b" \n", b"", b"\t\x0b\x0c\r "]).check(3, 1, 2);
    Desk::new(&[b"x"]).check(5, 1, 3);
}

#[test]
fn a_word_that_is_longer_than_any_message_is_counted() {
    let long = vec![b'a'; 1_500_000];
    let longer = [&long[..], b"b"].concat();
    Desk::new(&[b"x ", &long, b" y ", &longer, b"\n", &long]).check(2, 1, 5);
}

#[test]
fn the_counts_are_those_of_tr_sort_and_uniq() {
    let coreutils =
        "tr -s '[:space:]' '\\n' | grep -av '^$' | sort | uniq -c | sed 's/^ *\\([0-9]*\\) /\\1\\t/'";
    let seed = 11;
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    // Without bytes that are no text, which some versions of these programs do not pass through.
    let text: Vec<u8> =
        random_text(&mut random, 200_000).into_iter().filter(|byte| (9..127).contains(byte)).collect();
    let mut pipe = match Command::new("sh")
        .args(["-c", coreutils])
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
    {
        Ok(pipe) => pipe,
        Err(error) => {
            println!("skipped: there is no shell ({error})");
            return;
        }
    };
    let mut stdin = pipe.stdin.take().expect("it was piped");
    let given = text.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&given));
    let output = pipe.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("it takes all");
    if !output.status.success() {
        println!("skipped: coreutils are missing or of another kind");
        return;
    }
    assert!(output.stdout == counted(&text), "the straight count is not that of coreutils");
    Desk::new(&[&text]).check(2, 1, seed);
}

#[test]
fn snapshots_are_kept_where_the_user_says() {
    let desk = Desk::new(&[b"to be or not to be"]);
    let store = desk.folder.path().join("snapshots");
    let flags = ["--workers", "1", "--kills", "0", "--store", store.to_str().expect("text")];
    let first = desk.command(&flags).output().expect("the program runs");
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    assert!(fs::read_dir(&store).expect("it was made").next().is_some());
    let again = desk.command(&flags).output().expect("the program runs");
    assert_eq!((again.status.code(), again.stdout.len()), (Some(1), 0));
    let error = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(error.contains("is not empty: name a new or an empty folder"), "{error}");
}

#[test]
fn what_cannot_be_counted_is_refused_before_anything_starts() {
    let desk = Desk::new(&[b"a word"]);
    let absent = desk.folder.path().join("absent");
    let refused = |more: &[&Path], flags: &[&str], code, text: &str| {
        let output = desk.command(flags).args(more).output().expect("the program runs");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{error}");
        assert!(error.contains(text), "{error}");
        assert_eq!(fs::read_dir(desk.temporary()).expect("it is there").count(), 0);
    };
    refused(&[&absent], &[], 1, "absent: ");
    refused(&[desk.folder.path()], &[], 1, "is not a regular file");
    refused(&[], &["--workers", "0"], 2, "--workers");
    refused(&[], &["--workers", "many"], 2, "--workers");
    refused(&[], &["--kills=-1"], 2, "--kills");
    refused(&[], &["--quick"], 2, "--quick");
    let nothing = Command::new(env!("CARGO_BIN_EXE_wordcount")).output().expect("the program runs");
    assert_eq!(nothing.status.code(), Some(2));
}
