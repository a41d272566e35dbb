//! Bytes that a decoder should not understand.

use std::io;

use super::Breach;
use super::memory::Memory;
use super::pieces::places;
use super::trial::{Trial, caught};

/// What became of bytes that were decoded.
pub(super) struct Taken {
    /// How many were left unread.
    pub(super) left: usize,
    /// What the value that they made is encoded to, in the same form.
    pub(super) encoded: Option<Vec<u8>>,
}

/// Decodes, and encodes again.
pub(super) type Decode<'d> = &'d dyn Fn(&[u8]) -> io::Result<Taken>;

/// A decoder, and how it is named.
pub(super) struct Subject<'s> {
    pub(super) trial: &'s Trial,
    pub(super) decode: Decode<'s>,
    pub(super) what: String,
}

impl Subject<'_> {
    /// Whether it refuses what is cut short, too long, or none of its own; and survives all.
    pub(super) fn withstands(&self, valid: &[u8]) -> Result<(), Breach> {
        let canonical = self.is_canonical(valid)?;
        self.cut_short(valid, canonical)?;
        self.with_more(valid, canonical)?;
        // Before the flipped bits, which may make such lengths too: a decoder that believes them should be told so, and not end
        // the program.
        self.with_lengths(valid)?;
        self.with_flipped_bits(valid)?;
        self.with_noise(valid)?;
        self.with_the_same_again_and_again(valid)?;
        self.is_none_the_worse(valid, canonical)
    }

    fn cut_short(&self, valid: &[u8], canonical: bool) -> Result<(), Breach> {
        self.trial.step(format!("{} of bytes that are cut short", self.what));
        for len in places(valid.len()) {
            self.must_refuse(&valid[..len], &format!("the first {len} of {} bytes", valid.len()), canonical)?;
        }
        Ok(())
    }

    fn with_more(&self, valid: &[u8], canonical: bool) -> Result<(), Breach> {
        self.trial.step(format!("{} of bytes with more behind them", self.what));
        let many = vec![0; 1000];
        // Not the same once more: to some forms, such as protobuf, two in a row are one.
        for more in [&[0][..], &[0xff], &[0x80, 0], &many] {
            let longer = [valid, more].concat();
            self.must_refuse(&longer, &format!("{} bytes and {} more", valid.len(), more.len()), canonical)?;
        }
        Ok(())
    }

    /// These may be another value.
    fn with_flipped_bits(&self, valid: &[u8]) -> Result<(), Breach> {
        self.trial.step(format!("{} of bytes with a flipped bit", self.what));
        let few = valid.len() <= 512;
        for at in places(valid.len()) {
            for bit in (0..8).filter(|bit| few || [0, 7, at % 8].contains(bit)) {
                let mut flipped = valid.to_vec();
                flipped[at] ^= 1 << bit;
                self.survives(
                    &flipped,
                    &format!("{} bytes, with bit {bit} of byte {at} flipped", valid.len()),
                )?;
            }
        }
        Ok(())
    }

    fn with_noise(&self, valid: &[u8]) -> Result<(), Breach> {
        self.trial.step(format!("{} of bytes without any sense", self.what));
        let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
        for round in 0..300 {
            let mut bytes = vec![0; (noise.next() % 64) as usize];
            bytes.iter_mut().for_each(|byte| *byte = noise.next() as u8);
            // Half of them begin as they should.
            if round % 2 == 0 && !valid.is_empty() {
                let keep = (noise.next() as usize % valid.len()).min(1024);
                bytes.splice(0..0, valid[..keep].iter().copied());
            }
            self.survives(&bytes, &format!("{} bytes of noise: {:02x?}", bytes.len(), sample(&bytes)))?;
        }
        Ok(())
    }

    /// Where values are nested, this is as deep as the bytes are many: a decoder that calls itself for each level is told to do so
    /// more often than a stack can bear.
    fn with_the_same_again_and_again(&self, valid: &[u8]) -> Result<(), Breach> {
        const SIZE: usize = 512 << 10;
        self.trial.step(format!("{} of bytes that repeat", self.what));
        let mut patterns: Vec<Vec<u8>> = (0..=4).map(|byte| vec![byte]).collect();
        // Of JSON; of MessagePack and CBOR, an array of one in the other.
        patterns.extend([&b"["[..], b"{\"a\":", b"\x91", b"\x81"].map(<[u8]>::to_vec));
        let head = &valid[..valid.len().min(16)];
        patterns.extend((1..=head.len()).map(|len| head[..len].to_vec()));
        patterns.extend(head.iter().map(|byte| vec![*byte]));
        patterns.sort_unstable();
        patterns.dedup();
        for pattern in patterns {
            self.trial.step(format!("{} of {SIZE} bytes that repeat {pattern:02x?}", self.what));
            let mut bytes = pattern.repeat(SIZE.div_ceil(pattern.len()));
            bytes.truncate(SIZE);
            self.survives(&bytes, &format!("{SIZE} bytes that repeat {pattern:02x?}"))?;
            let begins = [head, &bytes].concat();
            self.survives(
                &begins,
                &format!("{SIZE} bytes that begin as they should, and repeat {pattern:02x?}"),
            )?;
        }
        Ok(())
    }

    /// After all that, it still understands what it should.
    fn is_none_the_worse(&self, valid: &[u8], canonical: bool) -> Result<(), Breach> {
        self.trial.step(format!("{} of valid bytes, after others that are not", self.what));
        match self.survives(valid, &format!("{} valid bytes, after others that are not,", valid.len()))? {
            Some(Taken { encoded: Some(encoded), .. }) if canonical && encoded != valid => {
                Err(self.trial.broken(format!(
                    "{} of {} valid bytes gave another value, after it had been given others that are not",
                    self.what,
                    valid.len()
                )))
            }
            Some(_) => Ok(()),
            None => Err(self.trial.broken(format!(
                "{} of {} valid bytes failed, after it had been given others that are not",
                self.what,
                valid.len()
            ))),
        }
    }

    /// Lengths that promise more than there is, in the ways that formats write them, at every place. First those that can be
    /// given what they promise, so that it is noticed; then those that cannot.
    fn with_lengths(&self, valid: &[u8]) -> Result<(), Breach> {
        self.trial.step(format!("{} of bytes with a length that is too large", self.what));
        let memory = Memory::of(self.trial);
        let decode = |bytes: &[u8]| drop((self.decode)(bytes));
        let head = &valid[..valid.len().min(1024)];
        for number in [None, Some(1 << 60)] {
            for (write, order) in LENGTHS {
                for at in order.of(head.len().min(64)) {
                    let claim = |number: u64| {
                        let length = write(number);
                        let replaced = if matches!(length.len(), 4 | 8) { length.len() } else { 1 };
                        let mut bytes = head.to_vec();
                        bytes.splice(at..(at + replaced).min(head.len()), length);
                        bytes
                    };
                    match number {
                        None => memory.promised(&claim, &decode, &self.what)?,
                        Some(number) => {
                            self.survives(
                                &claim(number),
                                &format!("bytes with a length of {number} at {at}"),
                            )
                            .map(drop)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a value has one encoding. Not so where it comes in the order of a hash map.
    fn is_canonical(&self, valid: &[u8]) -> Result<bool, Breach> {
        for _ in 0..3 {
            let taken = self.survives(valid, &format!("{} bytes", valid.len()))?;
            if taken.and_then(|taken| taken.encoded).as_deref() != Some(valid) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// These bytes are either refused, or those of another value, to the last one: some forms are cut short, or go on, and mean
    /// something.
    fn must_refuse(&self, bytes: &[u8], which: &str, canonical: bool) -> Result<(), Breach> {
        let Some(Taken { left: 0, encoded: Some(encoded) }) = self.survives(bytes, which)? else {
            return Ok(());
        };
        if if canonical { encoded == bytes } else { encoded.len() == bytes.len() } {
            return Ok(());
        }
        Err(self.trial.broken(format!(
            "{} of {which} succeeded, with a value whose own encoding are {} other bytes",
            self.what,
            encoded.len()
        )))
    }

    fn survives(&self, bytes: &[u8], which: &str) -> Result<Option<Taken>, Breach> {
        match caught(|| (self.decode)(bytes)) {
            Ok(taken) => Ok(taken.ok()),
            Err(panic) => Err(self.trial.broken(format!("{} of {which} panicked: {panic}", self.what))),
        }
    }
}

type Write = fn(u64) -> Vec<u8>;

/// In which order the places are tried, such that what is read where only some of the bytes are a length is smaller, and not
/// larger, than what was written.
#[derive(Clone, Copy)]
enum Order {
    Ascending,
    Descending,
}

impl Order {
    fn of(self, end: usize) -> Vec<usize> {
        let places = 0..end;
        match self {
            Self::Ascending => places.collect(),
            Self::Descending => places.rev().collect(),
        }
    }
}

/// The ways in which formats write a length.
const LENGTHS: [(Write, Order); 9] = [
    (|number| number.to_le_bytes().to_vec(), Order::Ascending),
    (leb128, Order::Ascending),
    (|number| clipped(number).to_le_bytes().to_vec(), Order::Ascending),
    // bincode.
    (|number| [&[0xfd][..], &number.to_le_bytes()].concat(), Order::Ascending),
    (|number| clipped(number).to_be_bytes().to_vec(), Order::Descending),
    (|number| number.to_be_bytes().to_vec(), Order::Descending),
    // CBOR: array and text; MessagePack: array.
    (|number| [&[0x9b][..], &number.to_be_bytes()].concat(), Order::Descending),
    (|number| [&[0x7b][..], &number.to_be_bytes()].concat(), Order::Descending),
    (|number| [&[0xdd][..], &clipped(number).to_be_bytes()].concat(), Order::Descending),
];

fn clipped(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn leb128(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn sample(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(16)]
}

/// xorshift, the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
