//! T6.

use futures::future::try_join;

use super::lab::{A, B, pair, run};
use super::{Breach, T6, TransportFixture, check};

/// T6: `send` is ready when all of its frames are handed on; nothing stays behind that only a further call would empty.
///
/// # Errors
///
/// What was seen of a clause that is broken.
pub fn t6_ready_is_handed_on<F: TransportFixture>() -> Result<(), Breach> {
    check::<F>(T6, |trial| {
        trial.step("frames to arrive without a further call on the sender");
        run::<F>(trial, &pair(), async |lab| {
            let [a, mut b] = lab.start_all([A, B]).await?;
            let stream = lab.stream(0);
            let mut number = 0;
            for count in [1, 1, 2, 3, 10, 257, 1, 5000, 1, 1] {
                for size in [None, Some(0), Some(5), Some(100_000)] {
                    if count > 10 && size == Some(100_000) {
                        continue;
                    }
                    let frame = |number| match size {
                        None => stream.control(number, number as usize % 3),
                        Some(size) => stream.message(number, size),
                    };
                    let frames: Vec<_> = (number..number + count).map(frame).collect();
                    number += count;
                    try_join(a.send_now(B, &frames), b.receive(A, &frames)).await?;
                }
            }
            Ok(())
        })
    })
}
