//! Reading a line of a trace, word by word.

use std::collections::BTreeMap;
use std::str::SplitWhitespace;

use snapshot_core::{Generation, NodeId, SnapshotId};

use super::line::{
    Answer, Body, Counts, Entry, Event, Frame, Grant, Line, Part, PartKey, Reason, Record, Request,
};

impl Line {
    /// Reads a line.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut words = Words::of(text);
        let line = words.line()?;
        words.end()?;
        Ok(line)
    }
}

struct Words<'a> {
    words: std::iter::Peekable<SplitWhitespace<'a>>,
}

type Read<T> = Result<T, String>;

fn number(word: &str) -> Read<u64> {
    word.parse().map_err(|_| format!("`{word}` is no number"))
}

fn after(word: &str, prefix: &str, what: &str) -> Read<u64> {
    word.strip_prefix(prefix).map_or_else(|| Err(format!("`{word}` is no {what}")), number)
}

fn node(word: &str) -> Read<NodeId> {
    after(word, "n", "node").map(NodeId)
}

fn generation(word: &str) -> Read<Generation> {
    after(word, "g", "generation").map(Generation)
}

fn snapshot(word: &str) -> Read<SnapshotId> {
    let parts = word.split_once('/').and_then(|(g, rest)| Some((g, rest.split_once('@')?)));
    let Some((g, (sequence, initiator))) = parts else { return Err(format!("`{word}` is no snapshot")) };
    Ok(SnapshotId { generation: generation(g)?, sequence: number(sequence)?, initiator: node(initiator)? })
}

fn part_key(word: &str) -> Read<PartKey> {
    let Some((owner, what)) = word.split_once('/') else { return Err(format!("`{word}` is no part")) };
    Ok((node(owner)?, if what == "initial" { None } else { Some(snapshot(what)?) }))
}

fn pair(word: &str) -> Read<(NodeId, u64)> {
    let Some((of, count)) = word.split_once(':') else { return Err(format!("`{word}` is not node:number")) };
    Ok((node(of)?, number(count)?))
}

impl<'a> Words<'a> {
    fn of(text: &'a str) -> Self {
        Self { words: text.split_whitespace().peekable() }
    }

    fn word(&mut self) -> Read<&'a str> {
        self.words.next().ok_or_else(|| "the line ends too early".to_owned())
    }

    fn read<T>(&mut self, read: fn(&str) -> Read<T>) -> Read<T> {
        read(self.word()?)
    }

    fn node(&mut self) -> Read<NodeId> {
        self.read(node)
    }

    fn number(&mut self) -> Read<u64> {
        self.read(number)
    }

    fn snapshot(&mut self) -> Read<SnapshotId> {
        self.read(snapshot)
    }

    fn generation(&mut self) -> Read<Generation> {
        self.read(generation)
    }

    fn message(&mut self) -> Read<u64> {
        after(self.word()?, "m", "message")
    }

    fn operation(&mut self) -> Read<u64> {
        after(self.word()?, "o", "operation")
    }

    fn start(&mut self) -> Read<Option<SnapshotId>> {
        match self.word()? {
            "the-beginning" => Ok(None),
            word => snapshot(word).map(Some),
        }
    }

    fn expect(&mut self, expected: &str) -> Read<()> {
        let word = self.word()?;
        if word == expected { Ok(()) } else { Err(format!("`{word}` stands where `{expected}` should")) }
    }

    fn pairs(&mut self) -> Read<Vec<(NodeId, u64)>> {
        let mut pairs = Vec::new();
        while let Some(word) = self.words.next_if(|word| word.contains(':')) {
            pairs.push(pair(word)?);
        }
        Ok(pairs)
    }

    fn counts(&mut self, name: &str) -> Read<Counts> {
        self.expect(name)?;
        let pairs = self.pairs()?;
        let counts: Counts = pairs.iter().copied().collect();
        if counts.len() == pairs.len() { Ok(counts) } else { Err("a node is named twice".to_owned()) }
    }

    fn rest<T>(&mut self, read: fn(&str) -> Read<T>) -> Read<Vec<T>> {
        self.words.by_ref().map(read).collect()
    }

    fn end(&mut self) -> Read<()> {
        self.words.next().map_or(Ok(()), |word| Err(format!("`{word}` is too much")))
    }

    fn line(&mut self) -> Read<Line> {
        Ok(match self.word()? {
            "member" => Line::Member { node: self.node()? },
            "link" => Line::Link {
                from: self.node()?,
                to: self.node()?,
                messages: match self.word()? {
                    "messages" => true,
                    "control" => false,
                    word => return Err(format!("a link does not carry `{word}`")),
                },
            },
            "retention" => Line::Retention { kept: self.number()? },
            "window" => Line::Window { messages: self.number()?, bytes: self.number()? },
            "left" => Line::Left { from: self.node()?, to: self.node()?, frame: self.frame()? },
            "boot" => Line::Boot { node: self.node()? },
            "crash" => Line::Crash { node: self.node()? },
            "lose" => Line::Lose { from: self.node()?, to: self.node()?, frames: self.number()? },
            "swallow" => Line::Swallow { from: self.node()?, to: self.node()?, frames: self.number()? },
            "up" => Line::Up { node: self.node()?, peer: self.node()? },
            "lost" => Line::Lost { node: self.node()?, peer: self.node()? },
            "send" => Line::Send { node: self.node()?, to: self.node()?, message: self.message()? },
            "take" => Line::Take { node: self.node()?, from: self.node()?, message: self.message()? },
            "turn" => Line::Turn { node: self.node()?, turn: self.number()? },
            "initiate" => Line::Initiate { node: self.node()?, snapshot: self.snapshot()? },
            "timeout" => Line::Timeout { node: self.node()? },
            "arrive" => Line::Arrive { node: self.node()?, from: self.node()?, frame: self.frame()? },
            "restored" => Line::Restored {
                node: self.node()?,
                sent: self.counts("sent")?,
                taken: self.counts("taken")?,
            },
            "do" => Line::Do { operation: self.operation()? },
            "answer" => Line::Answer { operation: self.operation()?, answer: self.answer()? },
            "capture" => Line::Capture { node: self.node()? },
            "ask" => Line::Ask { node: self.node()?, operation: self.operation()?, request: self.request()? },
            "out" => Line::Out { node: self.node()?, to: self.node()?, frame: self.frame()? },
            "told" => Line::Told { node: self.node()?, event: self.event()? },
            word => return Err(format!("there is no line `{word}`")),
        })
    }

    fn frame(&mut self) -> Read<Frame> {
        let stamp = self.word()?;
        let parts = stamp.split_once('#').and_then(|(g, rest)| Some((g, rest.split_once('~')?)));
        let Some((g, (n, tag))) = parts else { return Err(format!("`{stamp}` is no stamp")) };
        let body = match self.word()? {
            "hello" => Body::Hello { nonce: self.number()? },
            "message" => Body::Message(self.message()?),
            "marker" => Body::Marker(self.snapshot()?),
            "receipt" => {
                let (snapshot, (member, turn)) = (self.snapshot()?, self.read(pair)?);
                Body::Receipt { snapshot, member, turn }
            }
            "committed" => Body::Committed { snapshot: self.snapshot()?, index: self.number()? },
            "aborted" => {
                Body::Aborted { snapshot: self.snapshot()?, by: self.node()?, reason: self.reason()? }
            }
            "grant" => Body::Grant(Grant {
                sender: self.node()?,
                receiver: self.node()?,
                taken: self.number()?,
                messages: self.number()?,
                bytes: self.number()?,
                whole: match self.word()? {
                    "whole" => true,
                    "part" => false,
                    word => return Err(format!("a window is not `{word}`")),
                },
            }),
            "ask" => Body::Ask,
            word => return Err(format!("there is no frame `{word}`")),
        };
        Ok(Frame { generation: generation(g)?, number: number(n)?, tag: number(tag)?, body })
    }

    fn reason(&mut self) -> Read<Reason> {
        Ok(match self.word()? {
            "deadline" => Reason::Deadline,
            "store-failed" => Reason::StoreFailed,
            "requested" => Reason::Requested,
            "rolled-back" => Reason::RolledBack,
            "superseded" => Reason::Superseded,
            "store-behind" => Reason::StoreBehind,
            "bound" => Reason::Bound,
            word => match word.strip_prefix("lost-") {
                Some(peer) => Reason::PeerLost(node(peer)?),
                None => return Err(format!("`{word}` is no reason")),
            },
        })
    }

    fn request(&mut self) -> Read<Request> {
        Ok(match self.word()? {
            "read-journal" => Request::ReadJournal(self.number()?),
            "create-journal" => Request::CreateJournal(self.record()?),
            "create-seat" => Request::CreateSeat { generation: self.generation()?, life: self.number()? },
            "read-seat" => Request::ReadSeat(self.generation()?),
            "write-initial" => {
                Request::WriteInitial { sent: self.counts("sent")?, taken: self.counts("taken")? }
            }
            "write-part" => Request::WritePart { snapshot: self.snapshot()?, part: self.part()? },
            "read-part" => Request::ReadPart(self.read(part_key)?),
            "verify-part" => Request::VerifyPart(self.read(part_key)?),
            "list-parts" => Request::ListParts(match self.word()? {
                "all" => None,
                word => Some(generation(word)?),
            }),
            "delete" => Request::Delete(self.rest(part_key)?),
            word => return Err(format!("there is no request `{word}`")),
        })
    }

    fn part(&mut self) -> Read<Part> {
        self.expect("turn")?;
        let (turn, sent, taken) = (self.number()?, self.counts("sent")?, self.counts("taken")?);
        self.expect("recorded")?;
        let channels = self.messages()?;
        self.expect("outgoing")?;
        Ok(Part { turn, sent, taken, channels, outgoing: self.messages()? })
    }

    /// Messages, by the other end of their channel.
    fn messages(&mut self) -> Read<BTreeMap<NodeId, Vec<u64>>> {
        let mut messages = BTreeMap::<NodeId, Vec<u64>>::new();
        for (node, message) in self.pairs()? {
            messages.entry(node).or_default().push(message);
        }
        Ok(messages)
    }

    fn record(&mut self) -> Read<Record> {
        let index = self.number()?;
        self.expect("by")?;
        let (author, nonce) = (self.node()?, self.number()?);
        let entry = match self.word()? {
            "open" => Entry::Open(self.generation()?, self.start()?),
            "commit" => Entry::Commit(self.snapshot()?, self.counts("turns")?),
            "discard" => Entry::Discard(self.counts("upto")?),
            word => return Err(format!("there is no entry `{word}`")),
        };
        self.expect("kept")?;
        Ok(Record { index, author, nonce, entry, kept: self.rest(snapshot)? })
    }

    fn answer(&mut self) -> Read<Answer> {
        Ok(match self.word()? {
            "absent" => Answer::Absent,
            "record" => Answer::Record(self.record()?),
            "seat" => Answer::Seat(self.number()?),
            "new" => Answer::New,
            "exists" => Answer::Exists,
            "written" => Answer::Written,
            "found" => Answer::Found,
            "whole" => Answer::Whole { turn: self.number()? },
            "listed" => Answer::Listed(self.rest(part_key)?),
            "deleted" => Answer::Deleted,
            "failed" => Answer::Failed,
            word => return Err(format!("there is no answer `{word}`")),
        })
    }

    fn event(&mut self) -> Read<Event> {
        Ok(match self.word()? {
            "committed" => Event::Committed { snapshot: self.snapshot()?, turn: self.number()? },
            "rolled-back" => Event::RolledBack {
                generation: self.generation()?,
                snapshot: self.start()?,
                turn: self.number()?,
            },
            "aborted" => {
                Event::Aborted { snapshot: self.snapshot()?, by: self.node()?, reason: self.reason()? }
            }
            "report" => Event::Report(self.snapshot()?),
            "store-failed" => Event::StoreFailed,
            "ended" => Event::Ended,
            "broken" => Event::Broken,
            word => return Err(format!("there is no event `{word}`")),
        })
    }
}
