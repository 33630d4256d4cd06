//! Kernel statistics of a TCP socket: duration of the handshake and number of retransmitted SYNs. Only Linux has them.

use std::os::fd::AsFd;
use std::time::Duration;

/// Kernel statistics of a socket, available even if its connect failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct TcpFigures {
    /// Time from SYN to SYN-ACK; `None` without a handshake or if the kernel could not measure it.
    pub(super) round_trip: Option<Duration>,
    /// Number of retransmitted segments, which are SYNs as long as no data was sent.
    pub(super) retransmits: u32,
}

/// Reads the statistics; `None` if the kernel does not provide them.
#[cfg(target_os = "linux")]
pub(super) fn read(socket: &impl AsFd) -> Option<TcpFigures> {
    let info = linux::tcp_info(socket)?;
    let round_trip = Some(Duration::from_micros(info.rtt.into())).filter(|rtt| !rtt.is_zero());
    Some(TcpFigures { round_trip, retransmits: info.total_retrans })
}

/// Reads the statistics; `None` if the kernel does not provide them.
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

    /// Reads `TCP_INFO`; `None` if the kernel does not return all of it.
    ///
    /// `getsockopt` panics if the result is too short. Kernels return it in full, but the user-mode emulation of qemu,
    /// which runs images for other processors, does not. After one panic it is not called again.
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

    /// The first 104 bytes of the kernel's `struct tcp_info`, which every kernel since 2.6 fills. The struct of the C
    /// library is longer than that of some kernels.
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
        /// `TCP_INFO`, cut to the necessary fields.
        TcpInfo,
        GetOnly,
        libc::IPPROTO_TCP,
        libc::TCP_INFO,
        TcpInfoPrefix
    );
}
