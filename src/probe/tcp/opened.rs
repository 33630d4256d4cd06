//! An open connection, watched or not.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{SockRef, Socket};
use tokio::net::TcpStream;

/// An open connection.
#[derive(Debug)]
pub(in crate::probe) enum Opened {
    /// Nobody waits for anything on it, so nobody has to be told of it: where nothing more is said, that saves a third
    /// of the calls into the kernel.
    Unwatched(Socket),
    /// Tokio waits for what happens on it.
    Watched(TcpStream),
}

impl Opened {
    /// The connection for somebody who waits for what comes on it.
    pub(in crate::probe) fn watched(self) -> io::Result<TcpStream> {
        match self {
            Self::Unwatched(socket) => TcpStream::from_std(socket.into()),
            Self::Watched(stream) => Ok(stream),
        }
    }

    /// The port of this end.
    pub(in crate::probe) fn local_port(&self) -> Option<u16> {
        Some(SockRef::from(self).local_addr().ok()?.as_socket()?.port())
    }

    /// Whether both ends are this one.
    pub(in crate::probe) fn is_with_itself(&self) -> bool {
        let socket = SockRef::from(self);
        match (socket.local_addr(), socket.peer_addr()) {
            (Ok(local), Ok(peer)) => local.as_socket() == peer.as_socket(),
            _ => false,
        }
    }
}

impl AsFd for Opened {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unwatched(socket) => socket.as_fd(),
            Self::Watched(stream) => stream.as_fd(),
        }
    }
}
