//! Non-blocking sockets, and the interface numbers of link-local addresses.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use nix::net::if_::{if_indextoname, if_nametoindex};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::TcpStream;

/// Opens a non-blocking socket of the family of `remote`, which child processes do not inherit.
#[cfg(target_os = "linux")]
pub(in crate::probe) fn open(remote: SocketAddr, kind: Type) -> io::Result<Socket> {
    Socket::new(Domain::for_address(remote), kind.nonblocking(), None)
}

/// Opens a non-blocking socket of the family of `remote`, which child processes do not inherit.
#[cfg(not(target_os = "linux"))]
pub(in crate::probe) fn open(remote: SocketAddr, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(remote), kind, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Returns the number of an interface, given its name or its number (RFC 4007 section 11.2); `None` if there is no such
/// interface.
pub(in crate::probe) fn interface(zone: &str) -> Option<u32> {
    // nix 0.31 returns an empty name for an unknown number.
    let exists = |number: &u32| if_indextoname(*number).is_ok_and(|name| !name.is_empty());
    if_nametoindex(zone).ok().or_else(|| zone.parse().ok().filter(exists))
}

/// The socket of an open connection.
#[derive(Debug)]
pub(in crate::probe) enum OpenSocket {
    /// Not registered with epoll. If no exchange follows, this saves a third of the system calls.
    Unregistered(Socket),
    /// Registered with epoll by tokio.
    Registered(TcpStream),
}

impl OpenSocket {
    /// Registers the socket with epoll, so that it can be read and written.
    pub(in crate::probe) fn register(self) -> io::Result<TcpStream> {
        match self {
            Self::Unregistered(socket) => TcpStream::from_std(socket.into()),
            Self::Registered(stream) => Ok(stream),
        }
    }

    /// Returns the local port.
    pub(in crate::probe) fn local_port(&self) -> Option<u16> {
        Some(SockRef::from(self).local_addr().ok()?.as_socket()?.port())
    }

    /// Returns whether the local and the remote address are the same.
    pub(in crate::probe) fn is_connected_to_itself(&self) -> bool {
        let socket = SockRef::from(self);
        match (socket.local_addr(), socket.peer_addr()) {
            (Ok(local), Ok(peer)) => local.as_socket() == peer.as_socket(),
            _ => false,
        }
    }
}

impl AsFd for OpenSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unregistered(socket) => socket.as_fd(),
            Self::Registered(stream) => stream.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_has_a_name_or_number() {
        let number = ["lo", "lo0"].into_iter().find_map(interface).unwrap();
        assert_eq!(interface(&number.to_string()), Some(number));
        assert_eq!(interface("nowhere"), None);
        assert_eq!(interface("4294967295"), None);
    }
}
