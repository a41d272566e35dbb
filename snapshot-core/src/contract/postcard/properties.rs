//! States and messages in the postcard format.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::contract::codec::MessageCodec;
use crate::contract::postcard::{Postcard, PostcardState};
use crate::contract::state::StateProvider;
use crate::vocabulary::properties::holds;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct State {
    balance: i64,
    names: BTreeMap<String, Option<u32>>,
    orders: Vec<Order>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
enum Order {
    Nothing,
    Buy { pieces: u16, of: (char, bool) },
    Pay(u128),
}

impl PostcardState for State {}

fn orders() -> impl Strategy<Value = Order> {
    prop_oneof![
        Just(Order::Nothing),
        (any::<u16>(), any::<(char, bool)>()).prop_map(|(pieces, of)| Order::Buy { pieces, of }),
        any::<u128>().prop_map(Order::Pay),
    ]
}

fn states() -> impl Strategy<Value = State> {
    let names = prop::collection::btree_map(any::<String>(), any::<Option<u32>>(), 0..8);
    (any::<i64>(), names, prop::collection::vec(orders(), 0..8)).prop_map(|(balance, names, orders)| State {
        balance,
        names,
        orders,
    })
}

#[test]
fn a_state_comes_back_and_neither_less_nor_more_than_its_bytes_are_one() {
    holds((states(), any::<prop::sample::Index>(), any::<u8>()), |(state, cut, more)| {
        let mut bytes = Vec::new();
        State::encode(&state, &mut bytes).unwrap();
        prop_assert_eq!(State::decode(1, &mut &bytes[..]).unwrap(), state);
        prop_assert!(State::decode(1, &mut &bytes[..cut.index(bytes.len())]).is_err());
        bytes.push(more);
        prop_assert!(State::decode(1, &mut &bytes[..]).is_err());
        Ok(())
    });
}

#[test]
fn a_message_comes_back_and_neither_less_nor_more_than_its_bytes_are_one() {
    holds((orders(), any::<prop::sample::Index>(), any::<u8>()), |(order, cut, more)| {
        let mut bytes = Vec::new();
        Postcard.encode(&order, &mut bytes).unwrap();
        let decode = |bytes: &[u8]| MessageCodec::<Order>::decode(&Postcard, bytes.to_vec().into());
        prop_assert_eq!(decode(&bytes).unwrap(), order);
        prop_assert!(decode(&bytes[..cut.index(bytes.len())]).is_err());
        bytes.push(more);
        prop_assert!(decode(&bytes).is_err());
        Ok(())
    });
}
