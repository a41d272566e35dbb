//! What is compared: the rows of the tables.

use serde::{Deserialize, Serialize};

/// A row of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Way {
    /// The caller's own socket.
    ByHand,
    /// Tokio's codec on it: the reference.
    Codec,
    /// Our transport alone.
    Transport,
    /// Our node on it.
    Node,
    /// Our node for many tasks, on our transport.
    Shared,
    /// Our node on the caller's own socket and framing.
    Links,
    /// Values of an enum, through tokio's codec.
    CodecTyped,
    /// Likewise, through our node.
    NodeTyped,
    /// Bytes of the same lengths, through our node.
    NodeMixed,
    /// Our node, and many neighbours that send to it.
    ManyIn,
    /// Our node, and many neighbours to which it sends.
    ManyOut,
    /// Four nodes, each of which sends to all.
    Group,
    /// A state in a `Vec`, copied for each capture.
    Copied,
    /// A state in pieces, copied when they are written to.
    Pieces,
    #[cfg(feature = "zmq")]
    Zmq,
    #[cfg(feature = "monocoque")]
    Monocoque,
    #[cfg(feature = "tonic")]
    Tonic,
}

impl Way {
    /// Those that carry bytes.
    pub(crate) fn of_bytes() -> Vec<Self> {
        vec![
            Self::ByHand,
            Self::Codec,
            Self::Transport,
            Self::Node,
            #[cfg(feature = "zmq")]
            Self::Zmq,
            #[cfg(feature = "monocoque")]
            Self::Monocoque,
            #[cfg(feature = "tonic")]
            Self::Tonic,
        ]
    }

    /// Those that carry bytes there and back.
    pub(crate) fn of_round_trips() -> Vec<Self> {
        vec![
            Self::ByHand,
            Self::Codec,
            Self::Transport,
            Self::Node,
            #[cfg(feature = "zmq")]
            Self::Zmq,
            #[cfg(feature = "tonic")]
            Self::Tonic,
        ]
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ByHand => "by hand",
            Self::Codec => "codec",
            Self::Transport => "`TcpTransport`",
            Self::Node => "`SnapshotNode`",
            Self::Shared => "`SharedNode`",
            Self::Links => "`SnapshotNode` on `LinkTransport`",
            Self::CodecTyped => "enum, codec",
            Self::NodeTyped => "enum, `SnapshotNode`",
            Self::NodeMixed => "`Bytes`, `SnapshotNode`",
            Self::ManyIn => "from neighbours",
            Self::ManyOut => "to neighbours",
            Self::Group => "group",
            Self::Copied => "copied",
            Self::Pieces => "pieces",
            #[cfg(feature = "zmq")]
            Self::Zmq => "zmq",
            #[cfg(feature = "monocoque")]
            Self::Monocoque => "monocoque",
            #[cfg(feature = "tonic")]
            Self::Tonic => "tonic",
        }
    }
}
