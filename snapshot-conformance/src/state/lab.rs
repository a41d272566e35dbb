//! Where a state is tried: made, changed, compared.

use snapshot_core::StateProvider;

use super::super::pieces::{PieceReader, PieceWriter, Pieces};
use super::super::trial::Trial;
use super::super::{Breach, Clause};
use super::StateFixture;

/// How many changes it takes to see whether two states go on alike.
pub(super) const CHANGES: u64 = 12;

/// How old states are when they are tried, in changes.
pub(super) const AGES: [u64; 4] = [0, 1, 5, 30];

pub(super) struct Lab<F: StateFixture> {
    pub(super) fixture: F,
    pub(super) trial: Trial,
}

pub(super) type Captured<F> = <<F as StateFixture>::State as StateProvider>::Captured;

/// A state, and how many changes it has seen.
pub(super) struct Grown<S> {
    pub(super) state: S,
    steps: u64,
    name: String,
}

impl<F: StateFixture> Lab<F> {
    pub(super) fn run(clause: Clause, check: fn(&Self) -> Result<(), Breach>) -> Result<(), Breach> {
        Trial::run(clause, F::LIMIT, move |trial| {
            trial.step("`new` of the fixture");
            let lab = Self { fixture: F::new(), trial: trial.clone() };
            lab.is_fit()?;
            check(&lab)
        })
    }

    /// That the fixture can tell states apart, and that like is like.
    fn is_fit(&self) -> Result<(), Breach> {
        let unfit = |what: String| Err(self.broken(format!("cannot be judged with this fixture: {what}")));
        let mut first_looks: Vec<F::Seen> = Vec::new();
        for number in 0..F::STATES {
            let (mut one, mut other) = (self.grown(number, 0), self.grown(number, 0));
            let first = self.look(&mut one);
            let mut changed = false;
            for step in 0..CHANGES {
                let (seen, same) = (self.look(&mut one), self.look(&mut other));
                if seen != same {
                    return unfit(format!(
                        "two states of number {number} do not look alike after {step} changes: {seen:?} and {same:?}"
                    ));
                }
                changed |= seen != first;
                self.change(&mut one);
                self.change(&mut other);
            }
            if F::STATES > 1 && !changed {
                return unfit(format!("{CHANGES} changes of state {number} cannot be seen"));
            }
            if first_looks.contains(&first) {
                return unfit(format!(
                    "state {number} looks like one before it; where all are alike, set `STATES` to 1"
                ));
            }
            first_looks.push(first);
        }
        Ok(())
    }

    pub(super) fn broken(&self, seen: impl Into<String>) -> Breach {
        self.trial.broken(seen)
    }

    /// The state of this number, as it is after some changes.
    pub(super) fn grown(&self, number: u64, age: u64) -> Grown<F::State> {
        self.trial.step(format!("state {number} of the fixture, and {age} changes"));
        let name = format!("state {number}, {age} changes old");
        let mut grown = Grown { state: self.fixture.state(number), steps: 0, name };
        (0..age).for_each(|_| self.change(&mut grown));
        grown
    }

    /// All states, at all ages.
    pub(super) fn all(&self) -> impl Iterator<Item = (u64, u64)> {
        (0..F::STATES).flat_map(|number| AGES.map(|age| (number, age)))
    }

    pub(super) fn change(&self, grown: &mut Grown<F::State>) {
        self.fixture.change(&mut grown.state, grown.steps);
        grown.steps += 1;
    }

    pub(super) fn look(&self, grown: &mut Grown<F::State>) -> F::Seen {
        self.fixture.observe(&mut grown.state)
    }

    pub(super) fn capture(&self, grown: &mut Grown<F::State>) -> Captured<F> {
        self.trial.step(format!("`capture` of {}", grown.name));
        grown.state.capture()
    }

    /// Installs what was captured of a state that is like `like`, which it is from then on.
    pub(super) fn install(&self, over: &mut Grown<F::State>, captured: Captured<F>, like: &Grown<F::State>) {
        self.trial.step(format!("`install` over {}", over.name));
        over.state.install(captured);
        over.steps = like.steps;
    }

    pub(super) fn encode(&self, captured: &Captured<F>) -> Result<Vec<u8>, Breach> {
        self.encode_in(captured, Pieces::All)
    }

    pub(super) fn encode_in(&self, captured: &Captured<F>, pieces: Pieces) -> Result<Vec<u8>, Breach> {
        self.trial.step("`encode`");
        let mut out = PieceWriter::new(pieces);
        F::State::encode(captured, &mut out)
            .map_err(|error| self.broken(format!("`encode` failed: {error}")))?;
        Ok(out.bytes)
    }

    pub(super) fn decode(&self, bytes: &[u8]) -> Result<Captured<F>, Breach> {
        self.decode_in(F::State::VERSION, bytes, Pieces::All)
    }

    /// Decodes what must be understood, to the last byte.
    pub(super) fn decode_in(
        &self,
        version: u32,
        bytes: &[u8],
        pieces: Pieces,
    ) -> Result<Captured<F>, Breach> {
        self.trial.step(format!("`decode` of {} bytes of version {version}", bytes.len()));
        let mut input = PieceReader::new(bytes, pieces);
        let decoded = F::State::decode(version, &mut input);
        let decoded = decoded.map_err(|error| {
            self.broken(format!("`decode` of {} bytes of version {version} failed: {error}", bytes.len()))
        })?;
        match input.left.len() {
            0 => Ok(decoded),
            left => Err(self.broken(format!(
                "`decode` left {left} of {} bytes unread, which a node takes for bytes that were not understood",
                bytes.len()
            ))),
        }
    }

    /// That two states look alike, and go on alike.
    pub(super) fn go_on_alike(
        &self,
        one: &mut Grown<F::State>,
        twin: &mut Grown<F::State>,
        what: &str,
    ) -> Result<(), Breach> {
        for later in 0..=CHANGES {
            self.trial.step(format!("`observe` and `change` of {}", twin.name));
            let (seen, expected) = (self.look(one), self.look(twin));
            if seen != expected {
                let when = if later == 0 { String::new() } else { format!(", {later} changes later") };
                return Err(self.broken(format!(
                    "{}: {what}{when}, looks like {seen:?}, and should like {expected:?}",
                    twin.name
                )));
            }
            self.change(one);
            self.change(twin);
        }
        Ok(())
    }
}
