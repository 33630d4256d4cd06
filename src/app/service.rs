//! Notifications to the service manager: ready, reloading, stopping (`sd_notify(3)`). Without one, they do nothing.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::net::UnixDatagram;

use sd_notify::NotifyState;
use tracing::debug;

/// Reports that all targets are scheduled, or that a reload has ended, successfully or not.
pub(super) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// Reports that a reload has begun.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
}

/// Reports that the daemon is stopping.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

fn notify(states: &[NotifyState<'_>]) {
    let Some(manager) = env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else { return };
    let message: Vec<_> = states.iter().map(NotifyState::to_string).collect();
    let message = message.join("\n");
    if let Err(error) = send(&manager, message.as_bytes()) {
        debug!(%error, "Cannot notify the service manager");
    }
}

/// Sends a datagram without waiting, unlike the library: a manager that does not read must not block the thread that
/// probes. Once its queue is full, notifications are lost.
fn send(manager: &OsStr, message: &[u8]) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    #[cfg(target_os = "linux")]
    {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::ffi::OsStrExt as _;
        use std::os::unix::net::SocketAddr;

        // An abstract address is written with an @ instead of the null byte.
        if let Some(name) = manager.as_bytes().strip_prefix(b"@") {
            return socket.send_to_addr(message, &SocketAddr::from_abstract_name(name)?).map(drop);
        }
    }
    socket.send_to(message, manager).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_that_does_not_read_blocks_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let _unread = UnixDatagram::bind(&path).unwrap();
        let full = (0..10_000).find_map(|_| send(path.as_os_str(), b"RELOADING=1\n").err());
        assert_eq!(full.unwrap().kind(), io::ErrorKind::WouldBlock);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_abstract_address_is_reached() {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::net::SocketAddr;

        let name = format!("portprobe-test-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        send(OsStr::new(&format!("@{name}")), b"READY=1\n").unwrap();
        let mut message = [0; 64];
        let length = manager.recv(&mut message).unwrap();
        assert_eq!(message.get(..length), Some(&b"READY=1\n"[..]));
    }
}
