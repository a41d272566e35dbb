//! While no snapshot runs, the rules allocate nothing for a message, on its way out or in: what they need they have by then.
//!
//! One test alone, since memory is counted for the whole process.

#[path = "../benches/instructions/flows.rs"]
mod flows;

use std::alloc::System;

use cap::Cap;
use flows::{BATCH, In, Out, Through};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const BATCHES: u64 = 200;

/// How many bytes are allocated for so many batches, once buffers have their size. Whether they are freed again does not matter.
fn allocated<F>(mut flow: F, batch: fn(&mut F)) -> usize {
    (0..BATCHES).for_each(|_| batch(&mut flow));
    let before = ALLOCATOR.total_allocated();
    (0..BATCHES).for_each(|_| batch(&mut flow));
    ALLOCATOR.total_allocated() - before
}

#[test]
fn a_message_costs_no_allocation() {
    assert_eq!(allocated(Out::new(), Out::batch), 0);
    assert_eq!(allocated(In::new(), In::batch), 0);
    // A driver has a future for each batch, and for each time that it asks the network.
    let each = allocated(Through::new(), Through::batch) as u64 / (BATCHES * BATCH);
    assert!(each < 8, "{each} bytes a message through two nodes and a network");
    // The count sees what there is to be seen.
    assert!(allocated(Vec::new(), |all| all.push(vec![0_u8; 100])) >= 100 * BATCHES as usize);
}
