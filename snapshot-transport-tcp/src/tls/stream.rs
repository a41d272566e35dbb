//! A TLS session over a socket, and its halves.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use bytes::buf::Limit;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop::unconstrained;
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::lock::lock;

/// How much is read from the socket at a time: a session asks for 4 KiB by itself.
const SOCKET_READ: usize = 32 * 1024;

/// The socket under a session.
pub(crate) type Below = BufReader<TcpStream>;

/// A session whose TLS handshake is done.
pub(crate) struct TlsStream(pub(crate) tokio_rustls::TlsStream<Below>);

pub(crate) struct TlsReadHalf(Arc<Mutex<TlsStream>>);

pub(crate) struct TlsWriteHalf(Arc<Mutex<TlsStream>>);

/// The socket as a session takes it.
pub(crate) fn below(socket: TcpStream) -> Below {
    BufReader::with_capacity(SOCKET_READ, socket)
}

impl TlsStream {
    /// What the other side has shown, its own certificate first.
    pub(crate) fn shown(&self) -> Vec<CertificateDer<'static>> {
        self.0.get_ref().1.peer_certificates().unwrap_or_default().to_vec()
    }

    pub(crate) fn into_split(self) -> (TlsReadHalf, TlsWriteHalf) {
        let shared = Arc::new(Mutex::new(self));
        (TlsReadHalf(Arc::clone(&shared)), TlsWriteHalf(shared))
    }
}

impl TlsReadHalf {
    pub(crate) fn try_read_buf(&mut self, into: &mut Limit<&mut BytesMut>) -> io::Result<usize> {
        let cx = &mut Context::from_waker(Waker::noop());
        match pin!(unconstrained(self.read_buf(into))).poll(cx) {
            Poll::Ready(read) => read,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl AsyncRead for TlsStream {
    /// As many records as have come and fit: one alone would be 16 KiB at most. An end without the session's own is an end like
    /// any other: that nothing is missing is known by the goodbye, which nobody can make up.
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let begin = into.filled().len();
        loop {
            let before = into.filled().len();
            match Pin::new(&mut self.0).poll_read(cx, into) {
                Poll::Ready(Ok(())) if into.filled().len() > before && into.remaining() > 0 => {}
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                // What has come is handed on first; the session says the same again.
                _ if before > begin => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Ok(()));
                }
                other => return other,
            }
        }
    }
}

impl AsyncRead for TlsReadHalf {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock(&self.0)).poll_read(cx, into)
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl AsyncWrite for TlsWriteHalf {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *lock(&self.0)).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *lock(&self.0)).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock(&self.0)).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock(&self.0)).poll_shutdown(cx)
    }
}

impl Drop for TlsWriteHalf {
    /// As the half of a plain socket does it.
    fn drop(&mut self) {
        let stream = lock(&self.0);
        // It may be gone already; then there is nothing to end.
        let _ = SockRef::from(stream.0.get_ref().0.get_ref()).shutdown(Shutdown::Write);
    }
}

// Nothing of a session is fit to be shown.
impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsStream").field(self.0.get_ref().0.get_ref()).finish()
    }
}

impl fmt::Debug for TlsReadHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsReadHalf").finish_non_exhaustive()
    }
}

impl fmt::Debug for TlsWriteHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsWriteHalf").finish_non_exhaustive()
    }
}
