//! Processes that run this same executable and talk with it in lines: start, tell, kill, start again.
//!
//! The parent holds [`Children`], each child listens to its [`Orders`] and answers with [`say`]. A child whose parent is
//! gone, however that came, ends itself, because its standard input is then closed.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, oneshot};

/// The exit code of a child that ended because its parent was gone.
pub const ORPHANED: i32 = 86;

/// Lines that wait to be taken by the parent. A child that says more waits, in the pipe of its standard output.
const WAITING_LINES: usize = 1024;

/// Orders that wait to be taken by a child.
const WAITING_ORDERS: usize = 256;

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
    running: BTreeMap<String, Running>,
    last_words: BTreeMap<String, LastWords>,
    say: mpsc::Sender<Heard>,
    hear: mpsc::Receiver<Heard>,
}

#[derive(Debug)]
struct Running {
    pid: Option<u32>,
    stdin: ChildStdin,
    kill: Option<oneshot::Sender<()>>,
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
        Ok(Self { executable, running: BTreeMap::new(), last_words: BTreeMap::new(), say, hear })
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
        let (kill, killed) = oneshot::channel();
        self.last_words.insert(name.to_owned(), Arc::clone(&words));
        self.running.insert(name.to_owned(), Running { pid: child.id(), stdin, kill: Some(kill) });
        let errors = tokio::spawn(pass_on(name.to_owned(), BufReader::new(stderr), words));
        let say = self.say.clone();
        let name = name.to_owned();
        tokio::spawn(async move {
            let (status, killed) = attend(&name, &mut child, BufReader::new(stdout), killed, &say).await;
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
        if let Some(kill) = self.running.get_mut(name).and_then(|child| child.kill.take()) {
            // Nobody listens where it has ended by itself.
            let _ = kill.send(());
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
    mut kill: oneshot::Receiver<()>,
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
            asked = &mut kill, if parent && ended.is_none() => {
                parent = false;
                // The parent has dropped its end without asking: it is about to end itself.
                killed = asked.is_ok();
                if let Err(error) = child.start_kill() {
                    complain(format_args!("{name}: cannot be killed: {error}"));
                }
            }
        }
    }
    // `wait` fails only for a process that is not ours; it is as good as ended, and did not say that all was well.
    (ended.and_then(Result::ok).unwrap_or_else(failed), killed)
}

fn failed() -> ExitStatus {
    #[cfg(unix)]
    return std::os::unix::process::ExitStatusExt::from_raw(1 << 8);
    #[cfg(windows)]
    return std::os::windows::process::ExitStatusExt::from_raw(1);
}

async fn pass_on(name: String, stderr: impl tokio::io::AsyncBufRead + Unpin, words: LastWords) {
    let mut lines = stderr.lines();
    while let Ok(Some(line)) = lines.next_line().await {
        complain(format_args!("{name}: {line}"));
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

/// What the parent says to this process, line by line.
///
/// ```no_run
/// # async fn f() {
/// let mut orders = snapshot_examples::children::Orders::listen();
/// while orders.next().await != "stop" { /* work */ }
/// # }
/// ```
#[derive(Debug)]
pub struct Orders(mpsc::Receiver<String>);

impl Orders {
    /// Listens on standard input. From now on **this process ends, with the exit code [`ORPHANED`], as soon as its
    /// standard input is closed**, whatever it is doing: that is how a child learns that its parent was killed.
    pub fn listen() -> Self {
        let (give, take) = mpsc::channel(WAITING_ORDERS);
        // A thread of its own, and not the runtime's, which would wait at its end for the next line.
        std::thread::spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                if let Err(mpsc::error::TrySendError::Full(_)) = give.try_send(line) {
                    complain(format_args!("{WAITING_ORDERS} orders wait: this process does not take them"));
                    break;
                }
            }
            std::process::exit(ORPHANED);
        });
        Self(take)
    }

    /// Waits for the next line.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a line that was not returned is returned by the next call.
    pub async fn next(&mut self) -> String {
        match self.0.recv().await {
            Some(line) => line,
            // Standard input is closed, and the process ends at any moment.
            None => std::future::pending().await,
        }
    }
}

/// Says a line to the parent, which hears it as [`Heard::Line`]. The line must not contain a line break.
///
/// # Errors
///
/// If the parent is gone.
pub fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())?;
    out.flush()
}
