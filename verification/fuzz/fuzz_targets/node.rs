#![no_main]

snapshot_fuzz::target!("node");
