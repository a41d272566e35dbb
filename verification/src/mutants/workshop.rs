//! A copy of the workspace, in which it may be broken.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::judge::Bounds;
use super::{Mutant, Verdict};

/// A copy of the workspace, and what is built of it. Both stay, so that the next one builds only what has changed.
#[derive(Debug)]
pub struct Workshop {
    copy: PathBuf,
    target: PathBuf,
    options: Options,
    /// Held as long as the workshop is used.
    _lock: File,
}

/// How mutants are built and tried.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many compilers run side by side; `None`: as cargo thinks right.
    pub jobs: Option<usize>,
    /// After so long, a judge is stopped that has not come to a verdict.
    pub patience: Duration,
    /// How hard the judge looks.
    pub bounds: Bounds,
}

/// Quick to build, quick to run, and with the assertions of a debug build.
const PROFILE: [&str; 4] = [
    "profile.mutants.inherits=\"dev\"",
    "profile.mutants.opt-level=1",
    "profile.mutants.debug=0",
    "profile.mutants.package.\"*\".opt-level=3",
];

/// Who judges: each is built when those before it have found nothing.
const JUDGES: [&[&str]; 2] =
    [&["--no-default-features"], &["--no-default-features", "--features", "simulation"]];

impl Workshop {
    /// Makes the copy in `folder` like the workspace, without what is built there and without hidden files.
    ///
    /// # Errors
    ///
    /// If the file system fails, or somebody else works in this folder.
    pub fn open(workspace: &Path, folder: &Path, options: Options) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let lock = File::create(folder.join("lock"))?;
        lock.try_lock().map_err(|_| {
            io::Error::new(
                io::ErrorKind::ResourceBusy,
                "somebody else tries mutants here: wait, or name another folder",
            )
        })?;
        let (copy, target) = (folder.join("copy"), folder.join("target"));
        make_alike(workspace, &copy)?;
        Ok(Self { copy, target, options, _lock: lock })
    }

    /// What the judge says of the code without any mistake.
    ///
    /// # Errors
    ///
    /// If there is no verdict: it cannot be built, or does not come to an end.
    pub fn try_sound(&self) -> Result<Verdict, String> {
        self.judge()
    }

    /// What the judge says of the code with this mistake in it.
    ///
    /// # Errors
    ///
    /// If there is no verdict: the mutant does not fit any more, cannot be built, or the judge does not come to an end.
    pub fn try_mutant(&self, mutant: &Mutant) -> Result<Verdict, String> {
        let read = |path: &Path| fs::read_to_string(self.copy.join(path));
        let broken = mutant.apply(read)?;
        let mut before = Vec::new();
        for (path, after) in &broken {
            before.push((path, read(path).map_err(|error| error.to_string())?));
            self.write(path, after)?;
        }
        let verdict = self.judge();
        for (path, text) in before {
            self.write(path, &text)?;
        }
        verdict
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), String> {
        fs::write(self.copy.join(path), text).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn judge(&self) -> Result<Verdict, String> {
        for features in JUDGES {
            self.build(features)?;
            match self.run()? {
                Verdict::Passed => {}
                killed => return Ok(killed),
            }
        }
        Ok(Verdict::Passed)
    }

    fn build(&self, features: &[&str]) -> Result<(), String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(&self.copy).args(["build", "--quiet", "--locked", "--profile", "mutants"]);
        command.args(["--package", "snapshot-verification", "--bin", "mutants"]).args(features);
        command
            .arg("--target-dir")
            .arg(&self.target)
            .args(PROFILE.iter().flat_map(|line| ["--config", line]));
        if let Some(jobs) = self.options.jobs {
            command.args(["--jobs", &jobs.to_string()]);
        }
        let done = command.output().map_err(|error| format!("cargo does not run: {error}"))?;
        if done.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&done.stderr);
        let errors: Vec<_> = said.lines().skip_while(|line| !line.starts_with("error")).take(8).collect();
        Err(format!("it cannot be built:\n{}", errors.join("\n")))
    }

    fn run(&self) -> Result<Verdict, String> {
        let program =
            self.target.join("mutants").join("mutants").with_extension(std::env::consts::EXE_EXTENSION);
        let bounds = self.options.bounds;
        let mut judge = Command::new(program)
            .arg("--judge")
            .args(["--states", &bounds.states.to_string(), "--seeds", &bounds.seeds.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("the judge does not run: {error}"))?;
        let begun = Instant::now();
        let ended = loop {
            match judge.try_wait() {
                Ok(None) if begun.elapsed() < self.options.patience => {
                    thread::sleep(Duration::from_millis(20));
                }
                other => break other,
            }
        };
        match ended {
            Ok(Some(_)) => {
                let mut said = String::new();
                let mut stdout = judge.stdout.take().ok_or("the judge has no output")?;
                stdout.read_to_string(&mut said).map_err(|error| error.to_string())?;
                said.parse()
            }
            Ok(None) => {
                // Nobody else ends it.
                let _ = judge.kill();
                let _ = judge.wait();
                Err(format!("no verdict after {:?}", self.options.patience))
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Copies a folder over another one. What is the same already is not touched, so that it need not be built again.
fn make_alike(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        if name == OsStr::new("target") || name.to_string_lossy().starts_with('.') {
            continue;
        }
        let place = to.join(&name);
        if kind.is_dir() {
            make_alike(&entry.path(), &place)?;
        } else if kind.is_file() {
            let contents = fs::read(entry.path())?;
            if fs::read(&place).ok().as_ref() != Some(&contents) {
                fs::write(&place, contents)?;
            }
        }
        names.insert(name);
    }
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        if !names.contains(&entry.file_name()) {
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_made_like_its_original_and_what_is_the_same_is_not_touched() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        for (path, text) in [("a/b", "same"), ("c", "new"), ("target/d", "built"), (".git/e", "hidden")] {
            let path = from.join(path);
            fs::create_dir_all(path.parent().expect("it is in a folder"))?;
            fs::write(path, text)?;
        }
        make_alike(&from, &to)?;
        let written = fs::metadata(to.join("a/b"))?.modified()?;
        fs::write(to.join("c"), "broken")?;
        fs::create_dir(to.join("gone"))?;
        fs::write(to.join("gone/f"), "")?;
        make_alike(&from, &to)?;
        assert_eq!(
            (fs::read_to_string(to.join("a/b"))?, fs::read_to_string(to.join("c"))?),
            ("same".into(), "new".into())
        );
        assert_eq!(fs::metadata(to.join("a/b"))?.modified()?, written);
        assert!(!to.join("gone").exists() && !to.join("target").exists() && !to.join(".git").exists());
        Ok(())
    }

    #[test]
    fn two_do_not_work_in_one_folder() -> io::Result<()> {
        let (workspace, folder) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let open = || {
            let options = Options { jobs: None, patience: Duration::ZERO, bounds: Bounds::default() };
            Workshop::open(workspace.path(), folder.path(), options)
        };
        let first = open()?;
        assert_eq!(open().map(drop).map_err(|error| error.kind()), Err(io::ErrorKind::ResourceBusy));
        drop(first);
        open().map(drop)
    }
}
