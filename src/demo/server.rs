//! How the TCP servers of the demo behave. None ends by itself, and none reads what a client sends.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tracing::debug;

/// Accepts every connection, and closes it.
pub(super) async fn accept(listener: &TcpListener) {
    loop {
        if let Err(error) = listener.accept().await {
            debug!(%error, "A server of the demo cannot accept a connection");
            sleep(PAUSE).await;
        }
    }
}

/// Accepts for a while, is gone for a while, and comes back on the same address.
pub(super) async fn come_and_go(mut listener: TcpListener, address: SocketAddr) {
    loop {
        let _ = timeout(THERE, accept(&listener)).await;
        drop(listener);
        listener = come_back(address).await;
    }
}

async fn come_back(address: SocketAddr) -> TcpListener {
    loop {
        sleep(AWAY).await;
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) => debug!(%error, %address, "A server of the demo cannot come back"),
        }
    }
}

/// Lets its queue run full and empties it, in turn. A SYN that is not answered comes again after a second (RFC 6298),
/// when it is the other's turn.
pub(super) async fn accept_at_times(listener: TcpListener, address: SocketAddr) {
    loop {
        fill(address).await;
        sleep(FULL).await;
        let _ = timeout(NOT_FULL, accept(&listener)).await;
    }
}

/// Connects to a listener until it answers no more, which loopback otherwise does at once. Each connection stays in the
/// queue until somebody accepts it, although its end follows at once.
pub(super) async fn fill(address: SocketAddr) {
    for _ in 0..LONGEST_QUEUE {
        let Ok(Ok(_connection)) = timeout(PATIENCE, TcpStream::connect(address)).await else { return };
    }
}

/// How long the restless server is there, and away.
const THERE: Duration = Duration::from_secs(4);
const AWAY: Duration = Duration::from_secs(4);

/// How long the busy server answers no SYN, beside the time it takes to fill its queue, and how long it does. Together
/// they are twice the time after which a SYN is sent again, and it is full for less than half of that: so a SYN that
/// was not answered is answered the second time.
const FULL: Duration = Duration::from_millis(700);
const NOT_FULL: Duration = Duration::from_millis(1200);

/// After this time without an answer a queue counts as full.
const PATIENCE: Duration = Duration::from_millis(100);

/// Where a kernel has longer queues at least, it is tried no further.
const LONGEST_QUEUE: usize = 64;

/// How long to wait after a connection could not be accepted, so as not to spin.
const PAUSE: Duration = Duration::from_millis(100);
