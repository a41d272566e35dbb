//! Free ports of this machine's loopback interface, to be given to child processes.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Ports below are left to others, whatever the system uses for outgoing connections.
const LOWEST: u16 = 10_240;

/// Where the range for outgoing connections begins unless the system says otherwise (its usual value on Linux; other
/// systems begin higher).
const USUAL_EPHEMERAL_START: u16 = 32_768;

/// What this process was given before. A port whose owner was killed looks free until it is started again.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// `count` different loopback addresses whose ports were free a moment ago. No process is given a port twice.
///
/// They lie below the range from which the system takes ports for outgoing connections. Otherwise a connection of anybody
/// on the machine could take the port of a process that was killed before it is started again.
///
/// ```
/// let addresses = snapshot_examples::ports::free_addresses(3, 7)?;
/// assert_eq!(addresses.len(), 3);
/// assert!(addresses.iter().all(|address| address.ip().is_loopback()));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// `seed` says where the search begins, so that programs that run at the same time do not all look at the same ports.
///
/// # Errors
///
/// If there are not that many free ports.
pub fn free_addresses(count: usize, seed: u64) -> io::Result<Vec<SocketAddr>> {
    let range = candidates();
    let width = u64::from(range.end - range.start);
    let begin = fastrand::Rng::with_seed(seed ^ u64::from(std::process::id()).rotate_left(32)).u64(..width);
    let mut found = Vec::with_capacity(count);
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    for step in 0..width {
        if found.len() == count {
            break;
        }
        let port = range.start + ((begin + step) % width) as u16;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // Bound and dropped at once: nobody has connected, so nothing lingers on the port.
        if !given.contains(&port) && TcpListener::bind(address).is_ok() {
            given.insert(port);
            found.push(address);
        }
    }
    if found.len() < count {
        let text =
            format!("only {} of {count} ports from {} to {} are free", found.len(), range.start, range.end);
        return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
    }
    Ok(found)
}

/// The addresses of `count` ports from `first` on, all of them free.
///
/// # Errors
///
/// If one of them is taken, or if they would go beyond the last port; the text says which and what to do.
pub fn addresses_from(first: u16, count: usize) -> io::Result<Vec<SocketAddr>> {
    let ports = (0..count).map(|i| u16::try_from(i).ok().and_then(|i| first.checked_add(i)));
    ports
        .map(|port| {
            let Some(port) = port else {
                let text = format!("there are no {count} ports from {first} on: choose a lower one");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            };
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            match TcpListener::bind(address) {
                Ok(_) => Ok(address),
                Err(error) => {
                    let text = format!("cannot listen on {address} ({error}): choose other ports");
                    Err(io::Error::new(error.kind(), text))
                }
            }
        })
        .collect()
}

fn candidates() -> Range<u16> {
    let ephemeral = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(USUAL_EPHEMERAL_START);
    // A machine that uses (nearly) all ports for outgoing connections leaves no better choice than the usual range.
    if ephemeral > LOWEST + 1024 { LOWEST..ephemeral } else { LOWEST..USUAL_EPHEMERAL_START }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_addresses_are_different_and_can_be_bound_together() {
        let addresses = free_addresses(16, 1).expect("free ports");
        let listeners: Vec<_> =
            addresses.iter().map(|address| TcpListener::bind(address).expect("free")).collect();
        assert_eq!(listeners.len(), 16);
    }

    #[test]
    fn no_port_is_given_twice_though_its_owner_is_gone() {
        let [first, second] = [(); 2].map(|()| free_addresses(16, 2).expect("free ports"));
        assert!(first.iter().all(|address| !second.contains(address)));
    }

    #[test]
    fn a_port_that_is_taken_is_named() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = taken.local_addr().expect("its address");
        let error = addresses_from(address.port(), 1).expect_err("it is taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }

    #[test]
    fn ports_beyond_the_last_are_refused() {
        let error = addresses_from(u16::MAX, 2).expect_err("there is no port 65536");
        assert!(error.to_string().contains("choose a lower one"), "{error}");
    }
}
