//! A connection in the state in which an exchange left it, and its orderly close.

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

/// A connection after an exchange.
#[derive(Debug)]
pub(in crate::probe) enum Connection {
    /// Already closed.
    Closed,
    /// Open, and nothing was said: no reply is due, so the close waits for none.
    Silent(OpenSocket),
    /// Open, and something was said in the clear, or a TLS handshake failed.
    Plain(TcpStream),
    /// Open with TLS.
    Tls(Box<TlsStream<TlsTransport>>),
}

impl Connection {
    /// Closes the connection so that the peer reads an orderly end and not a reset. Ends by `deadline`.
    ///
    /// A close with unread data in the receive buffer sends a RST (RFC 2525 section 2.17), and later data is answered
    /// by one. So the FIN is sent first, because the peer reads it before such an error. Then the received data is
    /// read, within bounds. If something was said, the close waits a short time for the peer's end.
    pub(in crate::probe) async fn close(self, deadline: Instant) {
        match self {
            Self::Closed => {}
            Self::Silent(stream) => {
                end_own_side(&stream);
                drain(&stream);
            }
            // Boxed because of its buffer, which most probes do not need.
            Self::Plain(_) | Self::Tls(_) => Box::pin(self.part(deadline)).await,
        }
    }

    async fn part(self, deadline: Instant) {
        let patience = deadline.min(Instant::now() + PATIENCE);
        // Errors are ignored: the connection is closed either way.
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

/// Reads until the peer's end, or until `patience` and then what has arrived.
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

/// Sends the FIN. If that fails, the connection is closed already.
fn end_own_side(stream: &impl AsFd) {
    let _ = SockRef::from(stream).shutdown(Shutdown::Write);
}

/// Reads what has arrived.
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

/// Time to wait for the peer's end.
const PATIENCE: Duration = Duration::from_millis(100);

/// At most 256 KiB, twice the usual receive buffer. A peer that sends more has read the end already.
const MAX_READS: usize = 64;
