//! An `.events` file: what happens, in order.

use crate::group::Group;
use crate::text::{TextError, TextFile};

/// Something that happens. Servers by their index in the group.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// A server sends tokens over one of its links.
    Send {
        /// Who.
        from: usize,
        /// To whom.
        to: usize,
        /// How many.
        tokens: u64,
    },
    /// A server begins a snapshot.
    Snapshot {
        /// Which.
        server: usize,
    },
    /// Time passes.
    Tick {
        /// How much of it.
        ticks: u64,
    },
}

/// All that happens, each with the number of its line.
#[derive(Debug)]
pub(crate) struct Script {
    /// In order.
    pub(crate) steps: Vec<(usize, Step)>,
}

impl Script {
    /// Reads the file.
    pub(crate) fn parse(file: &TextFile, group: &Group) -> Result<Self, TextError> {
        let steps = file.lines().map(|line| {
            let place = |name: &str| {
                group.index(name).ok_or_else(|| line.malformed(format!("there is no server {name}")))
            };
            let step = match line.words() {
                ["send", from, to, tokens] => {
                    Step::Send { from: place(from)?, to: place(to)?, tokens: line.number_in(tokens)? }
                }
                ["snapshot", server] => Step::Snapshot { server: place(server)? },
                ["tick"] => Step::Tick { ticks: 1 },
                ["tick", ticks] => Step::Tick { ticks: line.number_in(ticks)? },
                _ => {
                    let what = "an event is 'send FROM TO TOKENS', 'snapshot SERVER', 'tick' or 'tick COUNT'";
                    return Err(line.malformed(what));
                }
            };
            Ok((line.number(), step))
        });
        Ok(Self { steps: steps.collect::<Result<_, _>>()? })
    }
}
