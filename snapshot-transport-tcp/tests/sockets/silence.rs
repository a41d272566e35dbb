//! Neighbours that leave what they are sent unanswered.

use std::time::Duration;

use snapshot_core::Transport;

use crate::common::*;

/// On systems that can be told so.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[tokio::test]
async fn a_neighbour_whose_system_takes_nothing_more_counts_as_lost_while_data_is_under_way() {
    let one = builder(mesh(&[1, 2], 1)).lost_after(Duration::from_secs(1)).bind().await.unwrap();
    guarded(async {
        // It reads nothing: to the sender that is as if its machine had gone, once its system's buffers are full.
        let silent = bare_neighbour(&[1, 2], 2, one.local_addr().unwrap(), 1 << 20).await;
        let mut ear = Ear::new(&one);
        ear.up(2).await;
        let mut many = frames((1..200).map(|number| message(number, 512 << 10)));
        // By default the system would go on for a quarter of an hour.
        tokio::select! {
            sent = one.send(peer(&one, 2), &mut many) => panic!("all was taken: {sent:?}"),
            _ = ear.lost(2) => {}
        }
        // Another connection takes on from there.
        let _again = bare_neighbour(&[1, 2], 2, one.local_addr().unwrap(), 1 << 20).await;
        ear.up(2).await;
        drop(silent);
    })
    .await;
}
