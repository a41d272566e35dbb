//! Stocks and orders keep the clauses that the library asks for.

use snapshot_conformance::{CodecFixture, StateFixture};

use crate::Stock;
use crate::wire::{Order, Protobuf};

struct Stocks;

impl StateFixture for Stocks {
    type State = Stock;
    type Seen = (i64, u64);

    fn new() -> Self {
        Self
    }

    fn state(&self, number: u64) -> Stock {
        Stock { nails: number as i64 * 1000, orders_sent: number << 20 }
    }

    fn change(&self, stock: &mut Stock, step: u64) {
        stock.nails += step as i64;
        stock.order();
    }

    fn observe(&self, stock: &mut Stock) -> (i64, u64) {
        (stock.nails, stock.orders_sent)
    }

    fn earlier(&self) -> Vec<(u32, Vec<u8>, Stock)> {
        vec![(1, vec![0xd0, 0x0f, 7], Stock { nails: 1000, orders_sent: 7 })]
    }
}

snapshot_conformance::state!(Stocks);

struct Orders;

impl CodecFixture for Orders {
    type Message = Order;
    type Codec = Protobuf;

    fn new() -> Self {
        Self
    }

    fn codec(&self) -> Protobuf {
        Protobuf
    }

    fn messages(&self) -> Vec<Order> {
        let order =
            |number, item: &str, pieces| Order { number, item: item.to_owned(), pieces, ..Order::default() };
        vec![
            Order::default(),
            order(300, "nails", -7),
            order(u64::MAX, &"x".repeat(300), i64::MIN),
            order(0, "", i64::MAX),
        ]
    }

    fn earlier(&self) -> Vec<(Vec<u8>, Order)> {
        let nails = Order { number: 300, item: "nails".to_owned(), pieces: 2, ..Order::default() };
        vec![(b"\x08\xac\x02\x12\x05nails\x18\x02".to_vec(), nails)]
    }
}

snapshot_conformance::codec!(Orders);
