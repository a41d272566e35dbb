//! Processes that run this same executable and talk with it in lines: start, tell, kill, start again.
//!
//! The parent holds [`Children`], each child listens to its [`Orders`] and answers with [`say`]. A child whose parent is
//! gone, however that came, ends itself, because its standard input is then closed.

mod orders;

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

pub use self::orders::{ORPHANED, Orders, say};

/// Lines that wait to be taken by the parent. A child that says more waits, in the pipe of its standard output.
const WAITING_LINES: usize = 1024;

/// Signals that wait to be sent to a child. They are sent at once.
const WAITING_SIGNALS: usize = 16;

/// Lines of a child's error output that are kept for [`Children::last_words`].
const KEPT_WORDS: usize = 20;

/// What the parent hears of a child.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// It said a line.
    Line {
        /// The child.
        name: String,
        /// The line, without its end.
        text: String,
    },
    /// It has ended. All that it said came before.
    Ended {
        /// The child.
        name: String,
        /// How.
        status: ExitStatus,
        /// Whether [`Children::kill`] was called for it.
        killed: bool,
    },
}

/// The child processes of this one, by name. Dropping it kills those that run.
///
/// What a child writes to its error output goes to this process's, each line with the child's name before it.
///
/// ```no_run
/// # async fn f() -> std::io::Result<()> {
/// use snapshot_examples::children::{Children, Heard};
///
/// let mut children = Children::new()?;
/// children.start("worker 1", ["--as-worker", "1"])?;
/// children.tell("worker 1", "begin").await?;
/// while let Some(heard) = children.next().await {
///     match heard {
///         Heard::Line { name, text } => println!("{name} says {text}"),
///         Heard::Ended { name, status, .. } => println!("{name}: {status}"),
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Children {
    executable: PathBuf,
    environment: Vec<(OsString, OsString)>,
    silent: bool,
    running: BTreeMap<String, Running>,
    last_words: BTreeMap<String, LastWords>,
    say: mpsc::Sender<Heard>,
    hear: mpsc::Receiver<Heard>,
}

#[derive(Debug)]
struct Running {
    pid: Option<u32>,
    stdin: ChildStdin,
    signals: mpsc::Sender<Signal>,
}

/// What is done to a child from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Signal {
    Kill,
    #[cfg(unix)]
    Stop,
    #[cfg(unix)]
    Continue,
}

type LastWords = Arc<Mutex<VecDeque<String>>>;

impl Children {
    /// None yet. They will run the executable of this process.
    ///
    /// # Errors
    ///
    /// If the system does not tell which executable this is.
    pub fn new() -> io::Result<Self> {
        let executable = std::env::current_exe()?;
        let (say, hear) = mpsc::channel(WAITING_LINES);
        Ok(Self {
            executable,
            environment: Vec::new(),
            silent: false,
            running: BTreeMap::new(),
            last_words: BTreeMap::new(),
            say,
            hear,
        })
    }

    /// Those that are started from now on have this in their environment.
    pub fn environment(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        self.environment.push((name.into(), value.into()));
    }

    /// What those that are started from now on write to their error output is kept for [`last_words`](Self::last_words), and not
    /// shown.
    pub fn silence(&mut self) {
        self.silent = true;
    }

    /// Starts a child. The name may be that of one that has ended.
    ///
    /// # Errors
    ///
    /// If a child of this name runs, or if the process cannot be started.
    pub fn start<A: Into<OsString>>(
        &mut self,
        name: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> io::Result<()> {
        if self.running.contains_key(name) {
            let text = format!("{name} runs already");
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        let mut child = Command::new(&self.executable)
            .args(arguments.into_iter().map(Into::into))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::Error::other(format!("{name} was started without its pipes")));
        };
        let words = LastWords::default();
        let (signals, sent) = mpsc::channel(WAITING_SIGNALS);
        self.last_words.insert(name.to_owned(), Arc::clone(&words));
        self.running.insert(name.to_owned(), Running { pid: child.id(), stdin, signals });
        let errors = tokio::spawn(pass_on(name.to_owned(), BufReader::new(stderr), words, self.silent));
        let say = self.say.clone();
        let name = name.to_owned();
        tokio::spawn(async move {
            let (status, killed) = attend(&name, &mut child, BufReader::new(stdout), sent, &say).await;
            let _ = errors.await;
            // The parent that no longer listens is about to end.
            let _ = say.send(Heard::Ended { name, status, killed }).await;
        });
        Ok(())
    }

    /// Says a line to a child. To one that has ended, or is about to, it says nothing.
    ///
    /// # Errors
    ///
    /// If no child of this name was started.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: a line may be cut short.
    pub async fn tell(&mut self, name: &str, line: &str) -> io::Result<()> {
        let Some(child) = self.running.get_mut(name) else {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("{name} does not run")));
        };
        match child.stdin.write_all(format!("{line}\n").as_bytes()).await {
            // It has just ended; that is heard in its turn.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// Kills a child with SIGKILL. Its end is heard in its turn, after all that it has said. For one that does not run
    /// there is nothing to do.
    pub fn kill(&mut self, name: &str) {
        self.signal(name, Signal::Kill);
    }

    /// Lets a child stand still with SIGSTOP, until it is [continued](Self::resume). For one that does not run there is
    /// nothing to do.
    #[cfg(unix)]
    pub fn stop(&mut self, name: &str) {
        self.signal(name, Signal::Stop);
    }

    /// Lets a child go on with SIGCONT that was [stopped](Self::stop).
    #[cfg(unix)]
    pub fn resume(&mut self, name: &str) {
        self.signal(name, Signal::Continue);
    }

    fn signal(&self, name: &str, signal: Signal) {
        if let Some(child) = self.running.get(name) {
            // Nobody listens where it has ended by itself, and one with so many on their way is killed already.
            let _ = child.signals.try_send(signal);
        }
    }

    /// The names of the children that run, or whose end was not heard yet.
    pub fn running(&self) -> impl Iterator<Item = &str> {
        self.running.keys().map(String::as_str)
    }

    /// The system's number for a child that runs.
    pub fn pid(&self, name: &str) -> Option<u32> {
        self.running.get(name)?.pid
    }

    /// The last lines of a child's error output, 20 at most.
    pub fn last_words(&self, name: &str) -> Vec<String> {
        let Some(words) = self.last_words.get(name) else { return Vec::new() };
        words.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Waits for the next that is heard of any child; `None` when none runs and all was heard.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: what was not returned is returned by the next call.
    pub async fn next(&mut self) -> Option<Heard> {
        if self.running.is_empty() {
            return None;
        }
        let heard = self.hear.recv().await?;
        if let Heard::Ended { name, .. } = &heard {
            self.running.remove(name);
        }
        Some(heard)
    }
}

/// Passes on what a child says until it has ended.
async fn attend(
    name: &str,
    child: &mut Child,
    stdout: impl tokio::io::AsyncBufRead + Unpin,
    mut signals: mpsc::Receiver<Signal>,
    say: &mpsc::Sender<Heard>,
) -> (ExitStatus, bool) {
    let mut lines = stdout.lines();
    let (mut talks, mut killed, mut parent) = (true, false, true);
    let mut ended = None;
    while talks || ended.is_none() {
        tokio::select! {
            line = lines.next_line(), if talks => match line {
                Ok(Some(text)) => {
                    let _ = say.send(Heard::Line { name: name.to_owned(), text }).await;
                }
                Ok(None) => talks = false,
                Err(error) => {
                    complain(format_args!("{name}: what it says cannot be read: {error}"));
                    talks = false;
                }
            },
            status = child.wait(), if ended.is_none() => ended = Some(status),
            asked = signals.recv(), if parent && ended.is_none() => {
                // The parent has dropped its end without asking: it is about to end itself.
                parent = asked.is_some();
                killed = killed || asked == Some(Signal::Kill);
                if let Err(error) = send(asked.unwrap_or(Signal::Kill), child) {
                    complain(format_args!("{name}: cannot be signalled: {error}"));
                }
            }
        }
    }
    // `wait` fails only for a process that is not ours; it is as good as ended, and did not say that all was well.
    (ended.and_then(Result::ok).unwrap_or_else(failed), killed)
}

/// Sends a signal to a child that was not waited for yet: its number is still its own.
fn send(signal: Signal, child: &mut Child) -> io::Result<()> {
    #[cfg(unix)]
    let other = match signal {
        Signal::Kill => return child.start_kill(),
        Signal::Stop => rustix::process::Signal::STOP,
        Signal::Continue => rustix::process::Signal::CONT,
    };
    #[cfg(unix)]
    if let Some(pid) = child.id().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed())) {
        rustix::process::kill_process(pid, other)?;
    }
    #[cfg(not(unix))]
    match signal {
        Signal::Kill => child.start_kill()?,
    }
    Ok(())
}

fn failed() -> ExitStatus {
    #[cfg(unix)]
    return std::os::unix::process::ExitStatusExt::from_raw(1 << 8);
    #[cfg(windows)]
    return std::os::windows::process::ExitStatusExt::from_raw(1);
}

async fn pass_on(name: String, stderr: impl tokio::io::AsyncBufRead + Unpin, words: LastWords, silent: bool) {
    let mut lines = stderr.lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if !silent {
            complain(format_args!("{name}: {line}"));
        }
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        if words.len() == KEPT_WORDS {
            words.pop_front();
        }
        words.push_back(line);
    }
}

/// Writes a line to the error output, if there is still somebody who reads it.
fn complain(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}
