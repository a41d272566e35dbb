#![no_main]

snapshot_fuzz::target!("tcp_tls");
