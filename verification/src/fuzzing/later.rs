//! Kinds of things that came later, in enums that inputs which are kept were made for.

use arbitrary::{Arbitrary, Result, Unstructured};

/// Something of the first kinds, or of those that came later.
///
/// A choice among the first kinds is made by the upper bits of four bytes; the lowest one does not matter. So one value of
/// that byte stands for the later kinds, and kept inputs go on meaning what they meant.
#[derive(Clone, Debug)]
pub(super) enum Later<A, B> {
    Early(A),
    Late(B),
}

const MARK: u8 = 0xf7;

impl<'a, A: Arbitrary<'a>, B: Arbitrary<'a>> Arbitrary<'a> for Later<A, B> {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Self> {
        if input.peek_bytes(1) == Some(&[MARK]) {
            input.bytes(1)?;
            B::arbitrary(input).map(Self::Late)
        } else {
            A::arbitrary(input).map(Self::Early)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Arbitrary, Clone, Copy, PartialEq, Eq, Debug)]
    enum Kind {
        One,
        Two,
        Three,
        Four,
    }

    #[test]
    fn the_first_kinds_are_chosen_as_they_were_and_the_later_ones_by_a_byte_of_their_own() {
        for upper in 0..=u8::MAX {
            let bytes = [1, 2, 3, upper];
            let alone = Kind::arbitrary(&mut Unstructured::new(&bytes)).unwrap();
            let among = Later::<Kind, bool>::arbitrary(&mut Unstructured::new(&bytes)).unwrap();
            assert!(matches!(among, Later::Early(kind) if kind == alone));
        }
        let late = Later::<Kind, bool>::arbitrary(&mut Unstructured::new(&[MARK, 1])).unwrap();
        assert!(matches!(late, Later::Late(true)));
    }
}
