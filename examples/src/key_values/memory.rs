//! What clients know, and whether values contradict it.

use std::collections::{BTreeMap, BTreeSet};

/// What clients know. A write that was answered with `OK` has happened. One that was not (`ERR`, a connection that ended, no
/// answer) may have happened, may yet happen, or not.
///
/// ```
/// use snapshot_examples::key_values::Memory;
/// let mut memory = Memory::default();
/// memory.keys.insert("a".to_owned(), ("1".to_owned(), true));
/// memory.keys.insert("b".to_owned(), ("2".to_owned(), false));
/// assert!(memory.contradictions(|key| (key == "a").then_some("1")).is_empty());
/// assert_eq!(memory.contradictions(|_| None).len(), 1, "a was acknowledged");
/// ```
#[derive(Clone, Default, Debug)]
pub struct Memory {
    /// Keys that are written with one value only, and whether that was acknowledged.
    pub keys: BTreeMap<String, (String, bool)>,
    /// Of each counter: what each acknowledged `INCR` has made of it, and how many there were without an answer.
    pub counters: BTreeMap<String, (Vec<u64>, u64)>,
    /// Keys that one client writes again and again, one at a time.
    pub registers: BTreeMap<String, Register>,
    /// What a client was told that cannot be, if all that was acknowledged has happened.
    pub lies: Vec<String>,
    /// How many commands got no answer.
    pub failures: usize,
}

/// The last acknowledged value of a register, and those without an answer.
pub type Register = (Option<u64>, BTreeSet<u64>);

impl Memory {
    /// What several clients know.
    pub fn add(&mut self, other: Self) {
        self.keys.extend(other.keys);
        self.registers.extend(other.registers);
        self.lies.extend(other.lies);
        self.failures += other.failures;
        for (counter, (values, unknown)) in other.counters {
            let all = self.counters.entry(counter).or_default();
            all.0.extend(values);
            all.1 += unknown;
        }
    }

    /// How many writes were acknowledged, those of registers left out.
    pub fn acknowledged(&self) -> usize {
        let keys = self.keys.values().filter(|(_, acknowledged)| *acknowledged).count();
        keys + self.counters.values().map(|(values, _)| values.len()).sum::<usize>()
    }

    /// All keys that were ever written.
    pub fn all_keys(&self) -> impl Iterator<Item = &String> {
        self.keys.keys().chain(self.counters.keys()).chain(self.registers.keys())
    }

    /// What of these values cannot be, if all that was acknowledged has happened, and nothing twice.
    pub fn contradictions<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> Vec<String> {
        let mut broken = Vec::new();
        for (key, (written, acknowledged)) in &self.keys {
            match value(key) {
                Some(value) if value == written => {}
                None if !acknowledged => {}
                other => broken.push(format!("{key} is {other:?} and not {written}")),
            }
        }
        for (counter, (answers, unknown)) in &self.counters {
            let different: BTreeSet<&u64> = answers.iter().collect();
            if different.len() < answers.len() {
                broken.push(format!("{counter} had the same value after two acknowledged INCRs"));
            }
            let newest = answers.iter().max().copied().unwrap_or(0);
            let acknowledged = answers.len() as u64;
            let count: Option<u64> = value(counter).map_or(Some(0), |value| value.parse().ok());
            if count.is_none_or(|count| count < newest.max(acknowledged) || count > acknowledged + unknown) {
                broken.push(format!(
                    "{counter} is {count:?}, after {acknowledged} acknowledged INCRs up to {newest}, and {unknown} others"
                ));
            }
        }
        for (register, (last, unknown)) in &self.registers {
            let text = value(register);
            let number: Option<u64> = text.and_then(|value| value.parse().ok());
            let known = number == *last || number.is_some_and(|value| unknown.contains(&value));
            if !known || number.is_some() != text.is_some() {
                broken.push(format!("{register} is {text:?} and not {last:?}, nor one of {unknown:?}"));
            }
        }
        broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> Memory {
        Memory {
            keys: [("key".to_owned(), ("7".to_owned(), true)), ("open".to_owned(), ("8".to_owned(), false))]
                .into(),
            counters: [("count".to_owned(), (vec![1, 3], 1))].into(),
            registers: [("register".to_owned(), (Some(5), [6].into()))].into(),
            ..Memory::default()
        }
    }

    fn broken(memory: &Memory, values: &[(&str, &str)]) -> usize {
        memory
            .contradictions(|key| values.iter().find(|(name, _)| *name == key).map(|(_, value)| *value))
            .len()
    }

    #[test]
    fn what_was_acknowledged_has_to_be_there_and_the_rest_may_be() {
        let memory = memory();
        assert_eq!(broken(&memory, &[("key", "7"), ("count", "3"), ("register", "5")]), 0);
        assert_eq!(broken(&memory, &[("key", "7"), ("open", "8"), ("count", "3"), ("register", "6")]), 0);
        for lost in [
            &[("count", "3"), ("register", "5")][..],
            &[("key", "8"), ("count", "3"), ("register", "5")],
            &[("key", "7"), ("open", "9"), ("count", "3"), ("register", "5")],
            &[("key", "7"), ("count", "2"), ("register", "5")],
            &[("key", "7"), ("count", "4"), ("register", "5")],
            &[("key", "7"), ("count", "many"), ("register", "5")],
            &[("key", "7"), ("count", "3"), ("register", "4")],
            &[("key", "7"), ("count", "3"), ("register", "five")],
            &[("key", "7"), ("count", "3")],
        ] {
            assert_eq!(broken(&memory, lost), 1, "{lost:?}");
        }
    }

    #[test]
    fn two_increments_that_made_the_same_of_a_counter_are_found() {
        let mut memory = memory();
        memory.add(Memory { counters: [("count".to_owned(), (vec![3], 0))].into(), ..Memory::default() });
        assert_eq!(broken(&memory, &[("key", "7"), ("count", "3"), ("register", "5")]), 1);
        assert_eq!(memory.acknowledged(), 4);
    }
}
