//! The simulation of the `cos418` cases, worked out a second time with plain integers and none of the library: what the
//! program is compared with.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// SplitMix64: small, and one seed gives one sequence.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// Servers with their starting tokens, and links, none of them twice or to oneself.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) servers: Vec<(String, u64)>,
    pub(crate) links: Vec<(String, String)>,
}

#[derive(Clone)]
pub(crate) enum Step {
    Send(String, String, u64),
    Snapshot(String),
    Tick(u64),
}

/// What a snapshot records: tokens by server; messages by destination, in the order of arrival.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) tokens: BTreeMap<String, u64>,
    pub(crate) messages: Vec<(String, String, u64)>,
}

#[derive(Clone, Copy)]
enum Message {
    Tokens(u64),
    Marker(usize),
}

/// One server's share in one snapshot.
#[derive(Default)]
struct Recording {
    tokens: u64,
    open: Vec<usize>,
    messages: Vec<(usize, u64)>,
}

/// Source, destination, and what is under way: (due, message), the next first.
type Link = (usize, usize, Vec<(u64, Message)>);

struct Run<'a> {
    names: Vec<&'a str>,
    tokens: Vec<u64>,
    /// Sorted by source, then destination.
    links: Vec<Link>,
    recordings: Vec<BTreeMap<usize, Recording>>,
    delays: std::slice::Iter<'a, u64>,
    time: u64,
}

impl World {
    pub(crate) fn run(&self, steps: &[Step], delays: &[u64]) -> Vec<Snapshot> {
        let mut servers: Vec<(&str, u64)> =
            self.servers.iter().map(|(name, n)| (name.as_str(), *n)).collect();
        servers.sort_by_key(|(name, _)| name.as_bytes());
        let names: Vec<&str> = servers.iter().map(|(name, _)| *name).collect();
        let place =
            |name: &str| names.iter().position(|other| *other == name).expect("a server of this world");
        let mut links: Vec<_> =
            self.links.iter().map(|(from, to)| (place(from), place(to), Vec::new())).collect();
        links.sort_by_key(|(from, to, _)| (*from, *to));
        let mut run = Run {
            tokens: servers.iter().map(|(_, tokens)| *tokens).collect(),
            recordings: servers.iter().map(|_| BTreeMap::new()).collect(),
            links,
            delays: delays.iter(),
            time: 0,
            names: names.clone(),
        };
        let mut begun = 0;
        for step in steps {
            match step {
                Step::Send(from, to, tokens) => {
                    run.tokens[place(from)] -= tokens;
                    run.put(place(from), place(to), Message::Tokens(*tokens));
                }
                Step::Snapshot(server) => {
                    run.begin(place(server), begun);
                    begun += 1;
                }
                Step::Tick(ticks) => (0..*ticks).for_each(|_| run.tick()),
            }
        }
        while run.links.iter().any(|(_, _, queue)| !queue.is_empty()) {
            run.tick();
        }
        (0..begun).map(|id| run.result(id)).collect()
    }

    /// A strongly connected world of two to seven servers, with names of several forms.
    pub(crate) fn random(random: &mut Random) -> Self {
        let forms = ["N", "n", "server-", "x_", "é", "10", "Z.", "N1"];
        let count = 2 + random.below(6) as usize;
        let form = forms[random.below(forms.len() as u64) as usize];
        let servers: Vec<(String, u64)> =
            (0..count).map(|index| (format!("{form}{}", index * 3 + 7), random.below(30))).collect();
        let mut links = Vec::new();
        for (a, (from, _)) in servers.iter().enumerate() {
            for (b, (to, _)) in servers.iter().enumerate() {
                // A ring, so that every server can reach every other one, and some links more.
                if a != b && (b == (a + 1) % count || random.below(2) == 0) {
                    links.push((from.clone(), to.clone()));
                }
            }
        }
        Self { servers, links }
    }

    /// Steps that are possible in this world: sends, ticks, and one snapshot at least.
    pub(crate) fn random_steps(&self, random: &mut Random) -> Vec<Step> {
        // Only what a server had at the start is spent, so that every send is possible whatever has arrived.
        let mut left: BTreeMap<&str, u64> =
            self.servers.iter().map(|(name, n)| (name.as_str(), *n)).collect();
        let mut steps = Vec::new();
        for _ in 0..40 {
            match random.below(8) {
                0..=3 => {
                    let (from, to) = &self.links[random.below(self.links.len() as u64) as usize];
                    let has = left.get_mut(from.as_str()).expect("a server of this world");
                    let tokens = random.below((*has).min(4) + 1);
                    *has -= tokens;
                    steps.push(Step::Send(from.clone(), to.clone(), tokens));
                }
                4..=5 => steps.push(Step::Tick(1 + random.below(2))),
                _ => {
                    let (server, _) = &self.servers[random.below(self.servers.len() as u64) as usize];
                    steps.push(Step::Snapshot(server.clone()));
                }
            }
        }
        steps.push(Step::Snapshot(self.servers[0].0.clone()));
        steps
    }

    pub(crate) fn renamed(&self, rename: impl Fn(&str) -> String) -> Self {
        Self {
            servers: self.servers.iter().map(|(name, tokens)| (rename(name), *tokens)).collect(),
            links: self.links.iter().map(|(from, to)| (rename(from), rename(to))).collect(),
        }
    }

    /// As a `.top` file.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}\n", self.servers.len());
        for (name, tokens) in &self.servers {
            writeln!(text, "{name} {tokens}").expect("a string takes all");
        }
        for (from, to) in &self.links {
            writeln!(text, "{from} {to}").expect("a string takes all");
        }
        text
    }
}

impl Step {
    pub(crate) fn renamed(&self, rename: impl Fn(&str) -> String) -> Self {
        match self {
            Self::Send(from, to, tokens) => Self::Send(rename(from), rename(to), *tokens),
            Self::Snapshot(server) => Self::Snapshot(rename(server)),
            Self::Tick(ticks) => Self::Tick(*ticks),
        }
    }

    /// As an `.events` file.
    pub(crate) fn texts(steps: &[Self]) -> String {
        let text = |step: &Self| match step {
            Self::Send(from, to, tokens) => format!("send {from} {to} {tokens}\n"),
            Self::Snapshot(server) => format!("snapshot {server}\n"),
            Self::Tick(1) => "tick\n".to_owned(),
            Self::Tick(ticks) => format!("tick {ticks}\n"),
        };
        steps.iter().map(text).collect()
    }
}

impl Snapshot {
    pub(crate) fn renamed(&self, rename: impl Fn(&str) -> String) -> Self {
        Self {
            tokens: self.tokens.iter().map(|(name, tokens)| (rename(name), *tokens)).collect(),
            messages: self.messages.iter().map(|(from, to, n)| (rename(from), rename(to), *n)).collect(),
        }
    }

    /// With one number one larger.
    pub(crate) fn spoilt(&self, random: &mut Random) -> Self {
        let mut spoilt = self.clone();
        let choice = random.below((self.tokens.len() + self.messages.len()) as u64) as usize;
        match choice.checked_sub(self.tokens.len()) {
            Some(message) => spoilt.messages[message].2 += 1,
            None => *spoilt.tokens.values_mut().nth(choice).expect("it was counted") += 1,
        }
        spoilt
    }

    /// As a `.snap` file.
    pub(crate) fn text(&self, id: usize) -> String {
        let mut text = format!("{id}\n");
        for (name, tokens) in &self.tokens {
            writeln!(text, "{name} {tokens}").expect("a string takes all");
        }
        for (from, to, tokens) in &self.messages {
            writeln!(text, "{from} {to} token({tokens})").expect("a string takes all");
        }
        text
    }
}

impl Run<'_> {
    fn put(&mut self, from: usize, to: usize, message: Message) {
        let due = self.time + 1 + self.delays.next().expect("enough delays");
        let link =
            self.links.iter_mut().find(|(a, b, _)| (*a, *b) == (from, to)).expect("a link of this world");
        link.2.push((due, message));
    }

    fn begin(&mut self, server: usize, id: usize) {
        let open = self.links.iter().filter(|(_, to, _)| *to == server).map(|(from, _, _)| *from).collect();
        self.recordings[server]
            .insert(id, Recording { tokens: self.tokens[server], open, messages: Vec::new() });
        let outgoing: Vec<usize> =
            self.links.iter().filter(|(from, _, _)| *from == server).map(|l| l.1).collect();
        for to in outgoing {
            self.put(server, to, Message::Marker(id));
        }
    }

    fn tick(&mut self) {
        self.time += 1;
        for server in 0..self.names.len() {
            let due = |(from, _, queue): &&mut Link| {
                *from == server && queue.first().is_some_and(|(due, _)| *due <= self.time)
            };
            if let Some((from, to, queue)) = self.links.iter_mut().find(due) {
                let (from, to, (_, message)) = (*from, *to, queue.remove(0));
                self.receive(from, to, message);
            }
        }
    }

    fn receive(&mut self, from: usize, to: usize, message: Message) {
        match message {
            Message::Tokens(tokens) => {
                for recording in self.recordings[to].values_mut().filter(|r| r.open.contains(&from)) {
                    recording.messages.push((from, tokens));
                }
                self.tokens[to] += tokens;
            }
            Message::Marker(id) => {
                if !self.recordings[to].contains_key(&id) {
                    self.begin(to, id);
                }
                self.recordings[to].get_mut(&id).expect("it was begun").open.retain(|other| *other != from);
            }
        }
    }

    fn result(&self, id: usize) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (server, name) in self.names.iter().enumerate() {
            let recording = &self.recordings[server][&id];
            assert!(recording.open.is_empty(), "every server finishes");
            snapshot.tokens.insert((*name).to_owned(), recording.tokens);
            for (from, tokens) in &recording.messages {
                snapshot.messages.push((self.names[*from].to_owned(), (*name).to_owned(), *tokens));
            }
        }
        snapshot
    }
}
