//! What goes through serde's traits: frames of transports that use them, and states and messages in the postcard format.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{check, read};
use crate::contract::codec::MessageCodec;
use crate::contract::postcard::{Postcard, PostcardState};
use crate::contract::state::StateProvider;
use crate::vocabulary::frame::{Body, Frame, Stamp};
use crate::vocabulary::id::Generation;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct State {
    balance: i64,
    open: bool,
    rate: f64,
    initial: char,
    names: BTreeMap<String, Option<u32>>,
    orders: Vec<Order>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
enum Order {
    Nothing,
    Buy { pieces: u16, of: [u8; 2] },
    Pay(u128, ()),
}

impl PostcardState for State {}

fn state() -> State {
    State {
        balance: -300,
        open: true,
        rate: 0.1,
        initial: 'ö',
        names: BTreeMap::from([("a".to_owned(), None), ("b".to_owned(), Some(1 << 20))]),
        orders: vec![Order::Nothing, Order::Buy { pieces: 500, of: [1, 2] }, Order::Pay(u128::MAX, ())],
    }
}

fn frames() -> [(&'static str, Frame<String>); 2] {
    let stamp = Stamp::new(Generation(2), 300);
    [
        ("message", Frame { stamp, body: Body::Message("hello".to_owned()) }),
        ("control", Frame { stamp, body: Body::Control(Bytes::from_static(&[1, 0])) }),
    ]
}

#[test]
fn a_state_in_the_postcard_format_is_read_as_what_it_was_and_written_as_ever() {
    let mut today = Vec::new();
    <State as StateProvider>::encode(&state(), &mut today).unwrap();
    check("postcard/state.bin", &today);
    assert_eq!(State::decode(1, &mut &read("postcard/state.bin")[..]).unwrap(), state());
}

#[test]
fn a_frame_in_the_postcard_format_is_read_as_what_it_was_and_written_as_ever() {
    for (name, frame) in frames() {
        let name = format!("postcard/frame-{name}.bin");
        let mut today = Vec::new();
        Postcard.encode(&frame, &mut today).unwrap();
        check(&name, &today);
        assert_eq!(MessageCodec::<Frame<String>>::decode(&Postcard, read(&name).into()).unwrap(), frame);
    }
}
