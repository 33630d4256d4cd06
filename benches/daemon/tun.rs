//! A network namespace for this thread, with a device whose packets this process reads and writes.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Command;

use nix::libc::{self, c_int, c_short};
use nix::sched::{CloneFlags, unshare};

/// Moves this thread into a new namespace and returns its device, with a route to 198.18.0.0/15. Needs root and `ip`.
pub(crate) fn enter() -> File {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let device = open();
    ip("link set lo up");
    ip("address add 198.19.255.254/15 dev accuracy");
    // No SYN may be lost in a burst.
    ip("link set accuracy txqueuelen 10000 up");
    device
}

/// Packets are read and written one by one, without a header of the device; reading does not block.
#[expect(unsafe_code, reason = "attaching to a device has no safe wrapper")]
fn open() -> File {
    let mut options = OpenOptions::new();
    let device = options
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")
        .unwrap();
    let mut request = Request { name: *b"accuracy\0\0\0\0\0\0\0\0", flags: FLAGS, rest: [0; 22] };
    // SAFETY: the request is as large as the kernel's `struct ifreq`, and lives until the call returns.
    unsafe { attach(device.as_raw_fd(), &raw mut request) }.unwrap();
    device
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The part of `struct ifreq` that this request needs.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: c_short,
    rest: [u8; 22],
}

/// `TUNSETIFF`, which also writes the name back.
mod ioctl {
    nix::ioctl_readwrite_bad!(attach, nix::request_code_write!(b'T', 202, size_of::<super::c_int>()), super::Request);
}
use ioctl::attach;

#[expect(clippy::cast_possible_truncation, reason = "both are below 2^15")]
const FLAGS: c_short = (libc::IFF_TUN | libc::IFF_NO_PI) as c_short;
