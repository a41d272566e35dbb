//! The bytes of one connection: as they are, or inside TLS. Whoever moves frames need not know which.
//!
//! A plain stream is split as tokio does it, and costs nothing more. With TLS both halves share one session, behind a lock that
//! is held for the time of a poll.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use bytes::buf::Limit;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

#[cfg(feature = "tls")]
use crate::tls::stream::{TlsReadHalf, TlsStream, TlsWriteHalf};

/// A connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream>),
}

/// The half that is read from.
#[derive(Debug)]
pub(crate) enum ReadHalf {
    Plain(OwnedReadHalf),
    #[cfg(feature = "tls")]
    Tls(TlsReadHalf),
}

/// The half that is written to.
///
/// What was written is with the system only after a flush: a TLS session may keep up to 64 KiB. Dropping it ends the outgoing
/// direction of the connection.
#[derive(Debug)]
pub(crate) enum WriteHalf {
    Plain(OwnedWriteHalf),
    #[cfg(feature = "tls")]
    Tls(TlsWriteHalf),
}

/// The same call on whichever it is.
macro_rules! either {
    ($kind:ident, $this:expr, $io:ident => $call:expr) => {
        match $this {
            $kind::Plain($io) => $call,
            #[cfg(feature = "tls")]
            $kind::Tls($io) => $call,
        }
    };
}

impl Stream {
    pub(crate) fn into_split(self) -> (ReadHalf, WriteHalf) {
        match self {
            Self::Plain(socket) => {
                let (read, write) = socket.into_split();
                (ReadHalf::Plain(read), WriteHalf::Plain(write))
            }
            #[cfg(feature = "tls")]
            Self::Tls(stream) => {
                let (read, write) = stream.into_split();
                (ReadHalf::Tls(read), WriteHalf::Tls(write))
            }
        }
    }
}

impl ReadHalf {
    /// What has arrived by now, whatever share of time the task has used up. Takes the place of a read that waits: its task is not
    /// woken any more.
    pub(crate) fn try_read_buf(&mut self, into: &mut Limit<&mut BytesMut>) -> io::Result<usize> {
        either!(Self, self, io => io.try_read_buf(into))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(Self, self.get_mut(), io => Pin::new(io).poll_read(cx, into))
    }
}

impl AsyncRead for ReadHalf {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(Self, self.get_mut(), io => Pin::new(io).poll_read(cx, into))
    }
}

macro_rules! written_to {
    ($kind:ident) => {
        impl AsyncWrite for $kind {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                either!($kind, self.get_mut(), io => Pin::new(io).poll_write(cx, bytes))
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                either!($kind, self.get_mut(), io => Pin::new(io).poll_write_vectored(cx, slices))
            }

            fn is_write_vectored(&self) -> bool {
                either!($kind, self, io => io.is_write_vectored())
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                either!($kind, self.get_mut(), io => Pin::new(io).poll_flush(cx))
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                either!($kind, self.get_mut(), io => Pin::new(io).poll_shutdown(cx))
            }
        }
    };
}

written_to!(Stream);
written_to!(WriteHalf);
