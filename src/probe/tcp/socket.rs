//! Sockets that do not block, and the numbers of the interfaces that link-local addresses need.

use std::io;
use std::net::SocketAddr;

use nix::net::if_::{if_indextoname, if_nametoindex};
use socket2::{Domain, Socket, Type};

/// A socket that does not block and is not inherited, of the family of `remote`.
#[cfg(target_os = "linux")]
pub(in crate::probe) fn open(remote: SocketAddr, kind: Type) -> io::Result<Socket> {
    Socket::new(Domain::for_address(remote), kind.nonblocking(), None)
}

/// A socket that does not block and is not inherited, of the family of `remote`.
#[cfg(not(target_os = "linux"))]
pub(in crate::probe) fn open(remote: SocketAddr, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(remote), kind, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// An interface's number, by its name or, where none has that name, as a number (RFC 4007 section 11.2); none where
/// there is no such interface.
pub(in crate::probe) fn interface(zone: &str) -> Option<u32> {
    // Where there is none of that number, nix 0.31 calls its name empty.
    let exists = |number: &u32| if_indextoname(*number).is_ok_and(|name| !name.is_empty());
    if_nametoindex(zone).ok().or_else(|| zone.parse().ok().filter(exists))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_found_by_name_and_by_number() {
        let number = ["lo", "lo0"].into_iter().find_map(interface).unwrap();
        assert_eq!(interface(&number.to_string()), Some(number));
        assert_eq!(interface("nowhere"), None);
        assert_eq!(interface("4294967295"), None);
    }
}
