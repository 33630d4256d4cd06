//! An open connection in whatever state an exchange left it, and its orderly end.

use std::io::Read as _;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

use crate::probe::tcp::socket::OpenSocket;
use crate::probe::tls::transport::TlsTransport;

/// A connection that is still open.
#[derive(Debug)]
pub(in crate::probe) enum Connection {
    /// It is closed already.
    Closed,
    /// Nothing was said: no answer is due, so none is waited for.
    Silent(OpenSocket),
    /// Something was said in the clear, or a TLS handshake failed.
    Plain(TcpStream),
    /// TLS was agreed on.
    Tls(Box<TlsStream<TlsTransport>>),
}

impl Connection {
    /// Ends the connection so that the peer reads an orderly end, not a reset. Ends by `deadline`.
    ///
    /// A close with unread data in the receive buffer is a RST (RFC 2525 section 2.17), and so is the answer to what
    /// comes after it. So the FIN goes out first, for an error behind it is none to whoever reads; then what the peer has
    /// said is read away, within bounds; and where something was said to it, its end is awaited for a moment.
    pub(in crate::probe) async fn close(self, deadline: Instant) {
        match self {
            Self::Closed => {}
            Self::Silent(stream) => {
                end_own_side(&stream);
                drain(&stream);
            }
            // With a buffer that most probes have no use for.
            Self::Plain(_) | Self::Tls(_) => Box::pin(self.part(deadline)).await,
        }
    }

    async fn part(self, deadline: Instant) {
        let patience = deadline.min(Instant::now() + PATIENCE);
        // Whatever fails here, the connection is gone, which is all that is wanted.
        match self {
            Self::Closed | Self::Silent(_) => {}
            Self::Plain(stream) => await_end(stream, patience).await,
            Self::Tls(mut stream) => {
                // close_notify (RFC 8446 section 6.1), then FIN.
                let _ = timeout_at(patience, stream.shutdown()).await;
                await_end(stream.into_inner().0.into_stream(), patience).await;
            }
        }
    }
}

/// Reads what comes until the peer's end, and what has come by then where that does not come in time.
async fn await_end(mut stream: TcpStream, patience: Instant) {
    end_own_side(&stream);
    let to_the_end = async {
        let mut unread = [0; 4096];
        for _ in 0..MAX_READS {
            if !matches!(stream.read(&mut unread).await, Ok(1..)) {
                return;
            }
        }
    };
    let _ = timeout_at(patience, to_the_end).await;
    drain(&stream);
}

/// Sends the FIN. A connection of which this cannot be said is gone already.
fn end_own_side(stream: &impl AsFd) {
    let _ = SockRef::from(stream).shutdown(Shutdown::Write);
}

/// Reads what is there.
fn drain(stream: &impl AsFd) {
    let socket = SockRef::from(stream);
    let mut unread = [0; 4096];
    for _ in 0..MAX_READS {
        match (&*socket).read(&mut unread) {
            Ok(length) if length == unread.len() => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// How long the end of a peer is awaited.
const PATIENCE: Duration = Duration::from_millis(100);

/// At most 256 KiB, a receive buffer's usual size twice over; a peer that goes on talking has its end already.
const MAX_READS: usize = 64;
