//! The oracle's own reader of journal records: as much of their documented bytes as it needs, and none of the core's code.

/// A snapshot's name: generation, sequence, initiator. A name and nothing else: the oracle never compares which is larger.
pub type Name = [u64; 3];

/// What a record says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Summary {
    /// Its index.
    pub index: u64,
    /// Its nonce.
    pub nonce: u64,
    /// What it adds.
    pub entry: Entry,
    /// The newest generation.
    pub generation: u64,
    /// The nonce of the record that opened that generation; version 1 does not say.
    pub opened: Option<u64>,
    /// The commit at which that generation begins.
    pub start: Option<Name>,
    /// The last commit of that generation.
    pub last: Option<Name>,
}

/// What a record adds to the journal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Entry {
    /// A generation begins.
    Generation,
    /// A snapshot is committed.
    Commit,
    /// Snapshots will never be.
    Discard,
}

/// Reads a record; `None` if these bytes are none.
pub fn read(bytes: &[u8]) -> Option<Summary> {
    let mut rest = Rest(bytes.strip_prefix(b"SNAPJ")?);
    let [version @ (1..=3)] = *rest.bytes(1)? else { return None };
    let index = rest.uint()?;
    let (nonce, _author) = (rest.uint()?, rest.uint()?);
    let entry = match rest.bytes(1)? {
        [0] => {
            for _ in 0..rest.uint()? {
                rest.name()?;
            }
            Entry::Generation
        }
        [1] => Entry::Commit,
        [2] if version > 2 => Entry::Discard,
        _ => return None,
    };
    let group = rest.uint()?;
    rest.bytes(usize::try_from(group).ok()?)?;
    for _ in 0..rest.uint()? {
        rest.uint()?;
    }
    let _retention = rest.uint()?;
    let generation = rest.uint()?;
    let (start, last) = (rest.commit()?, rest.commit()?);
    for _ in 0..rest.uint()? {
        let (_node, _sequence) = (rest.uint()?, rest.uint()?);
    }
    for _ in 0..rest.uint()? {
        let (_index, _name) = (rest.uint()?, rest.name()?);
    }
    let opened = match version {
        1 => None,
        _ => match rest.bytes(1)? {
            [0] => None,
            [1] => Some(rest.uint()?),
            _ => return None,
        },
    };
    let _checksum = rest.bytes(4)?;
    rest.0.is_empty().then_some(Summary { index, nonce, entry, generation, opened, start, last })
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn uint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..63).step_by(7) {
            let [byte] = *self.bytes(1)? else { return None };
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        // Nonces fill 64 bits.
        let [byte] = *self.bytes(1)? else { return None };
        (byte < 2).then_some(value | u64::from(byte) << 63)
    }

    fn name(&mut self) -> Option<Name> {
        Some([self.uint()?, self.uint()?, self.uint()?])
    }

    #[expect(clippy::option_option, reason = "bytes that are no commit, and no commit")]
    fn commit(&mut self) -> Option<Option<Name>> {
        if self.uint()? == 0 {
            return Some(None);
        }
        let name = self.name()?;
        for _ in 0..self.uint()? {
            let (_node, _turn, _size) = (self.uint()?, self.uint()?, self.uint()?);
            let _checksum = self.bytes(4)?;
        }
        Some(Some(name))
    }
}
