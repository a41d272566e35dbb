//! How a certificate says for which node of which group it stands. Pure.

use std::fmt::Write;

use snapshot_core::NodeId;

/// The URI among the alternative names of a certificate that stands for a node: `snapshot://GROUP/node/ID`.
///
/// A URI and no host name, because a node may move from host to host and groups may share one, and because no public authority
/// signs such names: what it signs for the web opens no door here. Characters of the group's name that a URI may not have as they
/// are stand there as `%` and two digits, so that two names never become one.
pub(crate) fn uri(group: &str, node: NodeId) -> String {
    let mut uri = String::from("snapshot://");
    for byte in group.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => uri.push(char::from(byte)),
            _ => {
                let _ = write!(uri, "%{byte:02X}"); // to a string: it does not fail
            }
        }
    }
    let _ = write!(uri, "/node/{}", node.0);
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_one_name_and_no_two_have_the_same() {
        assert_eq!(uri("orders", NodeId(7)), "snapshot://orders/node/7");
        assert_eq!(uri("a b/ü%", NodeId(u64::MAX)), "snapshot://a%20b%2F%C3%BC%25/node/18446744073709551615");
        let tricky = ["a", "A", "a/node/1", "a%2Fnode%2F1", "%61", "a\0", "ä", "a\u{308}"];
        let all: std::collections::BTreeSet<_> = tricky.map(|group| uri(group, NodeId(1))).into();
        assert_eq!(all.len(), tricky.len());
        assert!(all.iter().all(|uri| uri.is_ascii() && uri.matches('/').count() == 4));
    }
}
