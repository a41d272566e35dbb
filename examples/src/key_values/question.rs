//! What has become of the writes: asked of the servers, and compared with what the clients were told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::{Line, Memory};

/// How long an answer may take that is asked for again and again. Far more than it ever does.
const LIMIT: Duration = Duration::from_secs(120);

/// From one attempt to the next.
const LOOK: Duration = Duration::from_millis(5);

/// Connections over which is asked. Each answer waits for a snapshot, so many are asked for at a time.
const ASKING: usize = 24;

/// A question got no answer, though it was asked again and again.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{0} is never answered")]
pub struct NeverAnswered(String);

/// What the clients were told compared with what the servers have now: first as their owners know the keys, then at every node.
/// Returns what is broken.
///
/// # Errors
///
/// If a server does not answer, or never has what the owners of the keys have.
pub fn verify(servers: &[SocketAddr], memory: &Memory) -> Result<Vec<String>, NeverAnswered> {
    let mut broken = memory.lies.clone();
    let found = look_up(servers, memory.all_keys().cloned().collect())?;
    broken.extend(memory.contradictions(|key| found.get(key)?.strip_prefix("VALUE ")));
    if broken.is_empty() {
        for server in servers {
            repeat("that every node has what the owners have", || {
                let mut line = Line::open(*server).ok()?;
                let same = |(key, answer): (&String, &String)| {
                    line.ask(&format!("PEEK {key}")).is_ok_and(|here| here == *answer)
                };
                found.iter().all(same).then_some(())
            })?;
        }
    }
    Ok(broken)
}

/// Whether the copies of all servers have what the clients were told, which must come true soon where nobody writes.
///
/// # Errors
///
/// If it does not; with what is missing.
pub fn copies_are_good(servers: &[SocketAddr], memory: &Memory) -> Result<(), NeverAnswered> {
    for server in servers {
        let mut missing = vec!["no answer".to_owned()];
        let good = repeat("the copy of a node", || {
            missing = contradictions_at(*server, memory)?;
            missing.is_empty().then_some(())
        });
        good.map_err(|_| {
            NeverAnswered(format!("what was acknowledged ({}) at {server}", missing.join(", ")))
        })?;
    }
    Ok(())
}

fn contradictions_at(server: SocketAddr, memory: &Memory) -> Option<Vec<String>> {
    let mut line = Line::open(server).ok()?;
    let mut found = BTreeMap::new();
    for key in memory.all_keys() {
        found.insert(key.as_str(), line.ask(&format!("PEEK {key}")).ok()?);
    }
    Some(memory.contradictions(|key| found.get(key)?.strip_prefix("VALUE ")))
}

/// What the owners of these keys answer.
fn look_up(servers: &[SocketAddr], keys: Vec<String>) -> Result<BTreeMap<String, String>, NeverAnswered> {
    let part = |index: usize| {
        let address = servers[index % servers.len()];
        let mut line = None;
        let mut ask = |key: &String| {
            let answer = repeat(&format!("GET {key}"), || {
                if line.is_none() {
                    line = Line::open(address).ok();
                }
                match line.as_mut()?.ask(&format!("GET {key}")) {
                    Ok(answer) => Some(answer).filter(|answer| !answer.starts_with("ERR ")),
                    Err(_) => {
                        line = None;
                        None
                    }
                }
            });
            Ok((key.clone(), answer?))
        };
        keys.iter().skip(index).step_by(ASKING).map(&mut ask).collect::<Result<Vec<_>, _>>()
    };
    thread::scope(|scope| {
        let asking: Vec<_> = (0..ASKING).map(|index| scope.spawn(move || part(index))).collect();
        let mut all = BTreeMap::new();
        for thread in asking {
            let answers = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            all.extend(answers?);
        }
        Ok(all)
    })
}

/// Asks until there is an answer.
fn repeat<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> Result<T, NeverAnswered> {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if Instant::now() > end {
            return Err(NeverAnswered(what.to_owned()));
        }
        thread::sleep(LOOK);
    }
}
