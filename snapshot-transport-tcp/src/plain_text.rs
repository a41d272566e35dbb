//! Where connections that are not encrypted may go. Pure.

use std::net::{IpAddr, SocketAddr};

/// Whether bytes to and from this address stay inside the machine.
pub(crate) fn stays_inside(address: SocketAddr) -> bool {
    match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.to_canonical().is_loopback(),
    }
}

/// Whether an address as a person writes it says that bytes stay inside the machine: a loopback address, or `localhost`. What other
/// names stand for may change at any time, and so they do not say it. What is no address at all is left to who resolves it.
pub(crate) fn says_inside(address: &str) -> bool {
    let Some((host, _)) = address.rsplit_once(':') else { return true };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match bare.parse() {
        Ok(ip) => stays_inside(SocketAddr::new(ip, 0)),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_inside_the_machine_says_so() {
        let inside = ["127.0.0.1:7", "127.9.9.9:7", "[::1]:7", "[::ffff:127.0.0.1]:7"];
        for address in inside {
            assert!(stays_inside(address.parse().unwrap()) && says_inside(address), "{address}");
        }
        assert!(says_inside("localhost:7") && says_inside("LOCALHOST:7"));
        assert!(says_inside("no port, and so no address"));
    }

    #[test]
    fn everything_else_does_not() {
        let outside =
            ["0.0.0.0:7", "[::]:7", "10.0.0.1:7", "192.168.1.1:7", "[fe80::1]:7", "[::ffff:1.2.3.4]:7"];
        for address in outside {
            assert!(!stays_inside(address.parse().unwrap()) && !says_inside(address), "{address}");
        }
        for name in
            ["b.example.com:7", "127.0.0.1.example.com:7", "localhost.example.com:7", "notlocalhost:7"]
        {
            assert!(!says_inside(name), "{name}");
        }
    }
}
