//! A connection after an exchange, and its orderly close.

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
    /// Open without any data sent. No response is due, so the close does not wait for one.
    Silent(OpenSocket),
    /// Open after plaintext data or a failed TLS handshake.
    Plain(TcpStream),
    /// Open with TLS.
    Tls(Box<TlsStream<TlsTransport>>),
}

impl Connection {
    /// Closes the connection so that the peer reads an orderly close and not a reset. Ends by `deadline`.
    ///
    /// A close with unread data in the receive buffer sends a RST (RFC 2525 section 2.17), and so does later data.
    /// Therefore the FIN is sent first, because the peer reads it before the RST. Then the received data is read,
    /// within limits. If data was exchanged, the close waits a short time for the FIN of the peer.
    pub(in crate::probe) async fn close(self, deadline: Instant) {
        match self {
            Self::Closed => {}
            Self::Silent(stream) => {
                send_fin(&stream);
                drain(&stream);
            }
            // Boxed because of the buffer, which most probes do not need.
            Self::Plain(_) | Self::Tls(_) => Box::pin(self.close_exchanged(deadline)).await,
        }
    }

    async fn close_exchanged(self, deadline: Instant) {
        let timeout = deadline.min(Instant::now() + CLOSE_TIMEOUT);
        // Errors are ignored: the connection is closed either way.
        match self {
            Self::Closed | Self::Silent(_) => {}
            Self::Plain(stream) => await_fin(stream, timeout).await,
            Self::Tls(mut stream) => {
                // close_notify (RFC 8446 section 6.1), then FIN.
                let _ = timeout_at(timeout, stream.shutdown()).await;
                await_fin(stream.into_inner().0.into_stream(), timeout).await;
            }
        }
    }
}

/// Reads until the FIN of the peer or until `timeout`, then the data that has arrived.
async fn await_fin(mut stream: TcpStream, timeout: Instant) {
    send_fin(&stream);
    let to_the_end = async {
        let mut unread = [0; 4096];
        for _ in 0..MAX_READS {
            if !matches!(stream.read(&mut unread).await, Ok(1..)) {
                return;
            }
        }
    };
    let _ = timeout_at(timeout, to_the_end).await;
    drain(&stream);
}

/// Sends the FIN. If that fails, the connection is already closed.
fn send_fin(stream: &impl AsFd) {
    let _ = SockRef::from(stream).shutdown(Shutdown::Write);
}

/// Reads the data that has arrived.
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

/// Maximum time to wait for the FIN of the peer.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(100);

/// Maximum number of reads, 256 KiB in total, which is twice the usual receive buffer. A peer that sends more has
/// already read the FIN.
const MAX_READS: usize = 64;
