//! What the kernel knows about a TCP socket: how long the handshake took, and how often a SYN was sent.
//!
//! Linux alone tells; elsewhere there are no figures.

use std::os::fd::AsFd;
use std::time::Duration;

/// The figures of one socket, also of one whose connect failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct TcpFigures {
    /// The time from SYN to SYN-ACK; none without a handshake, or where the kernel could not measure it.
    pub(super) round_trip: Option<Duration>,
    /// Segments sent again; before any data these are SYNs.
    pub(super) retransmits: u32,
}

/// Reads the figures; none where the kernel does not tell.
#[cfg(target_os = "linux")]
pub(super) fn read(socket: &impl AsFd) -> Option<TcpFigures> {
    let info = linux::tcp_info(socket)?;
    let round_trip = Some(Duration::from_micros(info.rtt.into())).filter(|rtt| !rtt.is_zero());
    Some(TcpFigures { round_trip, retransmits: info.total_retrans })
}

/// Reads the figures; none where the kernel does not tell.
#[cfg(not(target_os = "linux"))]
pub(super) fn read(_socket: &impl AsFd) -> Option<TcpFigures> {
    None
}

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::AsFd;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicBool, Ordering};

    use nix::sys::socket::getsockopt;
    use nix::{getsockopt_impl, libc, sockopt_impl};

    /// What the kernel says; none where it does not, or not all of it.
    ///
    /// `getsockopt` panics at an answer that is too short. No kernel gives one, but qemu's emulation of single programs
    /// does, which runs an image on a foreign processor. It is asked once then, and never again.
    pub(super) fn tcp_info(socket: &impl AsFd) -> Option<TcpInfoPrefix> {
        static SHORT: AtomicBool = AtomicBool::new(false);
        if SHORT.load(Ordering::Relaxed) {
            return None;
        }
        let info = catch_unwind(AssertUnwindSafe(|| getsockopt(socket, TcpInfo)));
        if info.is_err() {
            SHORT.store(true, Ordering::Relaxed);
        }
        info.ok()?.ok()
    }

    /// The first 104 bytes of the kernel's `struct tcp_info`, which every kernel since 2.6 returns in full. The
    /// kernel fills as much as is asked for; the C library's own struct is longer than what some kernels know.
    #[derive(Clone, Copy, Debug, Default)]
    #[expect(unreachable_pub, reason = "nix's macro makes it part of a public trait's implementation")]
    #[repr(C)]
    pub struct TcpInfoPrefix {
        pub(super) state_to_flags: [u8; 8],
        pub(super) rto_to_rcv_ssthresh: [u32; 15],
        pub(super) rtt: u32,
        pub(super) rttvar_to_rcv_space: [u32; 7],
        pub(super) total_retrans: u32,
    }

    const _: () = assert!(size_of::<TcpInfoPrefix>() == 104);

    sockopt_impl!(
        /// `TCP_INFO`, cut to what is needed.
        TcpInfo,
        GetOnly,
        libc::IPPROTO_TCP,
        libc::TCP_INFO,
        TcpInfoPrefix
    );
}
