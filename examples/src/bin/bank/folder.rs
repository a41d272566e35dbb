//! The folder of a run: `bank.json`, which remembers what kind of bank it is, and the snapshots in `store/`.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use snapshot_core::Graph;
use thiserror::Error;

use crate::flags::{RunFlags, Shape};
use crate::ledger::OPENING_BALANCE;

/// The version of `bank.json`.
const FORMAT: u32 = 1;

const NODES: u32 = 4;
const ACCOUNTS: u32 = 1000;

/// What stays the same for all of a bank's life.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Bank {
    format: u32,
    /// Its name, drawn when it was opened, so that two banks never mix.
    pub(crate) group: String,
    pub(crate) nodes: u32,
    pub(crate) accounts: u32,
    pub(crate) topology: Shape,
    /// Makes the transfers.
    pub(crate) seed: u64,
}

impl Bank {
    /// The group as the library knows it.
    pub(crate) fn graph(&self) -> Graph {
        self.topology.graph(self.nodes).named(self.group.clone())
    }

    /// All coins there are. The flags keep them far from 2^64; a `bank.json` that says otherwise fails its audit.
    pub(crate) fn coins(&self) -> u64 {
        u64::from(self.nodes).saturating_mul(u64::from(self.accounts)).saturating_mul(OPENING_BALANCE)
    }
}

/// The folder of a bank. While this stands no other run can use the folder.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    pub(crate) bank: Bank,
    /// Holds the lock. The system lets go of it when the process ends, however that comes.
    _lock: File,
}

/// Why a folder cannot be used. Nothing in it was changed.
#[derive(Debug, Error)]
pub(crate) enum FolderError {
    #[error("{0} holds a run already: add --resume to go on with it, or choose another folder")]
    HoldsRun(PathBuf),
    #[error(
        "{0} is not empty and holds no run of bank: choose an empty folder, or one that does not exist yet"
    )]
    NotEmpty(PathBuf),
    #[error(
        "there is no folder {0}: name the folder of an earlier run, or leave --resume out to begin a new one there"
    )]
    Absent(PathBuf),
    #[error(
        "{0} holds no run of bank (it has no bank.json): name the folder of an earlier run, or leave --resume out"
    )]
    NoRun(PathBuf),
    #[error(
        "the snapshots of the run are missing: there is no {0}: restore it from a copy, or begin a new run elsewhere"
    )]
    NoStore(PathBuf),
    #[error(
        "{0} cannot be read as what bank remembers of a run ({1}): restore it from a copy, or choose another folder"
    )]
    Unreadable(PathBuf, serde_json::Error),
    #[error("{0} is of format {1}, and this release reads {FORMAT}: use the release that wrote it")]
    OtherFormat(PathBuf, u32),
    #[error(
        "{path} is a run with --{flag} {remembered}, not {given}: leave --{flag} out, or choose another folder"
    )]
    Contradiction { path: PathBuf, flag: &'static str, remembered: String, given: String },
    #[error("another bank is running in {0}: wait until it has ended, or choose another folder")]
    InUse(PathBuf),
    #[error("cannot {what} {path}: {error}")]
    Io { what: &'static str, path: PathBuf, error: io::Error },
}

impl Folder {
    /// The folder that the flags name: a new one, or with `--resume` that of an earlier run.
    pub(crate) fn open(flags: &RunFlags) -> Result<Self, FolderError> {
        match (&flags.store, flags.resume) {
            (Some(path), true) => Self::resume(path, flags),
            (Some(path), false) => Self::begin(path.clone(), flags),
            (None, _) => {
                let folder = tempfile::Builder::new().prefix("bank-").tempdir();
                let folder = folder.map_err(failed("make a folder in", &std::env::temp_dir()))?;
                Self::begin(folder.keep(), flags)
            }
        }
    }

    /// How many branches the bank has or will have.
    pub(crate) fn nodes(flags: &RunFlags) -> Result<u32, FolderError> {
        match &flags.store {
            Some(path) if flags.resume => Ok(Self::read(path)?.nodes),
            _ => Ok(flags.nodes.unwrap_or(NODES)),
        }
    }

    /// Where the snapshots of a run are.
    pub(crate) fn store_in(path: &Path) -> PathBuf {
        path.join("store")
    }

    /// What is remembered of the run in a folder.
    pub(crate) fn read(path: &Path) -> Result<Bank, FolderError> {
        let file = memory_in(path);
        match fs::read(&file) {
            Ok(bytes) => {
                let bank: Bank = serde_json::from_slice(&bytes)
                    .map_err(|error| FolderError::Unreadable(file.clone(), error))?;
                if bank.format != FORMAT {
                    return Err(FolderError::OtherFormat(file, bank.format));
                }
                Ok(bank)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_dir() => {
                Err(FolderError::NoRun(path.to_owned()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(FolderError::Absent(path.to_owned()))
            }
            Err(error) => Err(failed("read", &file)(error)),
        }
    }

    fn begin(path: PathBuf, flags: &RunFlags) -> Result<Self, FolderError> {
        fs::create_dir_all(&path).map_err(failed("create", &path))?;
        let mut entries = fs::read_dir(&path).map_err(failed("read", &path))?;
        if memory_in(&path).exists() {
            return Err(FolderError::HoldsRun(path));
        }
        if entries.next().is_some() {
            return Err(FolderError::NotEmpty(path));
        }
        let bank = Bank {
            format: FORMAT,
            group: format!("bank {:016x}", fastrand::u64(..)),
            nodes: flags.nodes.unwrap_or(NODES),
            accounts: flags.accounts.unwrap_or(ACCOUNTS),
            topology: flags.topology.unwrap_or(Shape::Mesh),
            seed: flags.seed,
        };
        // First the folder for the snapshots: a run that is remembered has one, wherever it was killed.
        let store = Self::store_in(&path);
        fs::create_dir(&store).map_err(failed("create", &store))?;
        remember(&path, &bank)?;
        Self::locked(path, bank)
    }

    fn resume(path: &Path, flags: &RunFlags) -> Result<Self, FolderError> {
        let bank = Self::read(path)?;
        if !Self::store_in(path).is_dir() {
            return Err(FolderError::NoStore(Self::store_in(path)));
        }
        let contradiction = |flag, remembered: String, given: Option<String>| match given {
            Some(given) if given != remembered => {
                Err(FolderError::Contradiction { path: path.to_owned(), flag, remembered, given })
            }
            _ => Ok(()),
        };
        contradiction("nodes", bank.nodes.to_string(), flags.nodes.map(|n| n.to_string()))?;
        contradiction("accounts", bank.accounts.to_string(), flags.accounts.map(|n| n.to_string()))?;
        contradiction("topology", bank.topology.to_string(), flags.topology.map(|t| t.to_string()))?;
        Self::locked(path.to_owned(), bank)
    }

    fn locked(path: PathBuf, bank: Bank) -> Result<Self, FolderError> {
        let file = memory_in(&path);
        let lock = File::open(&file).map_err(failed("open", &file))?;
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => Err(FolderError::InUse(path)),
            // Where the file system knows no locks, the library's own seats still keep two runs apart, if less politely.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self { path, bank, _lock: lock }),
        }
    }
}

fn memory_in(path: &Path) -> PathBuf {
    path.join("bank.json")
}

/// Writes `bank.json`, whole or not at all, and only where there is none.
fn remember(path: &Path, bank: &Bank) -> Result<(), FolderError> {
    let file = memory_in(path);
    let write = || -> io::Result<()> {
        let mut temporary = tempfile::NamedTempFile::new_in(path)?;
        serde_json::to_writer_pretty(&mut temporary, bank)?;
        temporary.write_all(b"\n")?;
        temporary.as_file().sync_all()?;
        temporary.persist_noclobber(&file)?;
        Ok(())
    };
    match write() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(FolderError::HoldsRun(path.to_owned()))
        }
        other => other.map_err(failed("write", &file)),
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    let path = path.to_owned();
    move |error| FolderError::Io { what, path, error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::CommandLine;
    use clap::Parser;

    fn open(path: &Path, more: &[&str]) -> Result<Folder, FolderError> {
        let path = path.to_str().expect("a plain name");
        let line = ["bank", "--store", path].into_iter().chain(more.iter().copied());
        Folder::open(&CommandLine::parse_from(line).run)
    }

    #[test]
    fn a_run_is_remembered_and_contradictions_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/run");
        let first = open(&path, &["--nodes", "3", "--topology", "star"]).expect("a new run");
        assert_eq!(first.bank.coins(), 3_000_000);
        assert!(matches!(open(&path, &[]), Err(FolderError::HoldsRun(_))));
        assert!(matches!(open(&path, &["--resume"]), Err(FolderError::InUse(_))));
        let bank = first.bank.clone();
        drop(first);
        assert_eq!(open(&path, &["--resume"]).expect("the same run").bank, bank);
        assert_eq!(open(&path, &["--resume", "--nodes", "3"]).expect("the same run").bank, bank);
        for (flag, value) in [("--nodes", "4"), ("--accounts", "5"), ("--topology", "ring")] {
            let refused = open(&path, &["--resume", flag, value]).expect_err("it contradicts");
            assert!(refused.to_string().contains(&format!("leave {flag} out")), "{refused}");
        }
    }

    #[test]
    fn a_folder_of_something_else_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("letter.txt"), "dear").expect("a file");
        assert!(matches!(open(folder.path(), &[]), Err(FolderError::NotEmpty(_))));
        assert!(matches!(open(folder.path(), &["--resume"]), Err(FolderError::NoRun(_))));
        let absent = folder.path().join("absent");
        assert!(matches!(open(&absent, &["--resume"]), Err(FolderError::Absent(_))));
        assert!(!absent.exists());
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 1);
    }

    #[test]
    fn a_memory_that_is_broken_or_newer_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(memory_in(folder.path()), "{").expect("a file");
        assert!(matches!(open(folder.path(), &["--resume"]), Err(FolderError::Unreadable(..))));
        fs::remove_file(memory_in(folder.path())).expect("it was there");
        drop(open(folder.path(), &[]).expect("a new run"));
        let text = fs::read_to_string(memory_in(folder.path())).expect("the memory");
        fs::write(memory_in(folder.path()), text.replace("\"format\": 1", "\"format\": 2")).expect("a file");
        assert!(matches!(open(folder.path(), &["--resume"]), Err(FolderError::OtherFormat(_, 2))));
    }
}
