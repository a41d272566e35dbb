//! Small messages, straight to where they are sent from.

use std::io;

use postcard::ser_flavors::Flavor;
use serde::Serialize;

use crate::contract::delimited::Limited;

/// Writes a message as [`encode`](crate::MessageCodec::encode) does, without a call for each of its fields.
pub(super) fn write<M: Serialize>(message: &M, out: &mut Limited<'_>) -> io::Result<()> {
    postcard::serialize_with_flavor(message, Straight(out))
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

struct Straight<'a, 'o>(&'a mut Limited<'o>);

impl Flavor for Straight<'_, '_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if self.0.put(bytes) { Ok(()) } else { Err(postcard::Error::SerializeBufferFull) }
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bytes::BytesMut;
    use serde::{Deserialize, Serialize};

    use crate::contract::codec::MessageCodec;
    use crate::contract::postcard::Postcard;

    #[derive(Serialize, Deserialize)]
    enum Order {
        Buy { pieces: u32, limits: Vec<i64>, note: String },
        Cancel(u64),
        Nothing,
    }

    #[test]
    fn a_message_has_the_same_bytes_whichever_way_it_is_written() {
        let note = "two hundred ".repeat(20);
        let orders: VecDeque<_> = [
            Order::Buy { pieces: 300, limits: vec![-1, i64::MAX], note },
            Order::Cancel(u64::MAX),
            Order::Nothing,
        ]
        .into();
        let mut straight = BytesMut::new();
        assert_eq!(Postcard.encode_delimited(orders.iter(), usize::MAX, usize::MAX, &mut straight), 3);
        let mut at = 0;
        for order in &orders {
            let mut streamed = Vec::new();
            Postcard.encode(order, &mut streamed).unwrap();
            // The length of the first takes two bytes.
            at += if streamed.len() < 0x80 { 1 } else { 2 };
            assert_eq!(straight[at..at + streamed.len()], streamed);
            at += streamed.len();
        }
        assert_eq!(at, straight.len());
        let mut short = BytesMut::new();
        assert_eq!(Postcard.encode_delimited(orders.iter(), usize::MAX, 100, &mut short), 0);
    }
}
