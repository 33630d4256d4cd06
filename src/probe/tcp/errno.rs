//! Classifies error codes of the kernel: an error concerns either the target or this machine.
//!
//! Only codes count, never the text of an error. The meaning of a code depends on when it arrives: an error that a call
//! returns at once comes from this machine; a pending error of the socket came after a packet was sent.

use std::io::{self, ErrorKind};

use nix::errno::Errno;

use crate::outcome::{Class, Fault, LocalFaultReason, Phase};

/// A reason why a connect failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::probe) enum ConnectError {
    /// The network answered a packet, or nothing answered.
    Answered(Class),
    /// This machine could not try.
    Local(LocalFaultReason),
    /// No packet was sent, because this machine has no route or had no time. The state of the port is unknown.
    Unsent(Class),
}

/// Classifies an error that a call returned at once.
pub(in crate::probe) fn at_once(error: &io::Error) -> ConnectError {
    let errno = errno(error);
    match errno {
        // On systems other than Linux, loopback answers before the call returns.
        Errno::ECONNREFUSED | Errno::ECONNRESET => ConnectError::Answered(Class::Refused),
        Errno::EACCES | Errno::EPERM => ConnectError::Local(LocalFaultReason::NotPermitted),
        Errno::EAFNOSUPPORT | Errno::EHOSTDOWN | Errno::EHOSTUNREACH | Errno::ENETDOWN | Errno::ENETUNREACH => {
            ConnectError::Unsent(Class::Unreachable)
        }
        _ => ConnectError::Local(local_reason(errno).unwrap_or(LocalFaultReason::Invalid)),
    }
}

/// Classifies a pending error of the socket.
pub(in crate::probe) fn late(error: &io::Error) -> ConnectError {
    let errno = errno(error);
    match errno {
        Errno::ECONNREFUSED | Errno::ECONNRESET => ConnectError::Answered(Class::Refused),
        Errno::ETIMEDOUT => ConnectError::Answered(Class::Timeout),
        // Any other pending error came by ICMP, or a neighbour did not answer: EHOSTUNREACH, ENETUNREACH, ENOPROTOOPT,
        // EACCES and EPERM (ICMPv6 prohibited), EHOSTDOWN, ENONET, EPROTO, EOPNOTSUPP.
        _ => local_reason(errno).map_or(ConnectError::Answered(Class::Unreachable), ConnectError::Local),
    }
}

/// Classifies an error of a read or write on an open connection.
///
/// A policy of this machine, such as a BPF program or a security module, denies a call with EPERM or EACCES. The kernel
/// reports an ICMP error there only after it has given up retransmitting, long after the deadline of a probe.
pub(in crate::probe) fn in_use(error: &io::Error) -> ConnectError {
    match errno(error) {
        Errno::EACCES | Errno::EPERM => ConnectError::Local(LocalFaultReason::NotPermitted),
        _ => late(error),
    }
}

/// Returns the fault for an error of an open connection on which `expected`, such as "its greeting", was due.
///
/// - A RST is `reset`.
/// - A close, or a RST after a close, which Linux reports as EPIPE, is `disconnected`.
/// - Missing buffers and a missing permission are local faults.
/// - Any other error means that packets are lost, which is silence: `stalled`.
pub(in crate::probe) fn broken(error: &io::Error, phase: Phase, expected: &str) -> Fault {
    let code = errno(error);
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => {
            Fault::failure(phase, Class::Reset, format!("a RST ended the connection; expected {expected}"))
        }
        ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof | ErrorKind::WriteZero => Fault::disconnected(phase, expected),
        _ if let ConnectError::Local(reason @ (LocalFaultReason::NoMemory | LocalFaultReason::NotPermitted)) =
            in_use(error) =>
        {
            Fault::local(reason, format!("cannot use the connection: {} ({code:?})", cause(code)))
        }
        _ => Fault::failure(phase, Class::Stalled, format!("packets were lost ({code:?}); expected {expected}")),
    }
}

/// Returns the explanation of a local fault.
pub(in crate::probe) fn cause(errno: Errno) -> &'static str {
    match errno {
        Errno::EMFILE => "this process has no file descriptor left",
        Errno::ENFILE => "this machine has no file descriptor left",
        Errno::ENOSPC => "this user has no epoll watch left",
        Errno::ENOBUFS | Errno::ENOMEM => "the kernel has no memory left",
        Errno::EADDRINUSE | Errno::EADDRNOTAVAIL | Errno::EAGAIN => "no local port or address is left",
        Errno::EACCES | Errno::EPERM => "a firewall, route or policy of this machine forbids it",
        _ => "the kernel does not accept the arguments",
    }
}

/// Returns the code of an error; `UnknownErrno` if it is not from the kernel.
pub(in crate::probe) fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)
}

/// Returns the reason for a code that is always a local fault.
fn local_reason(errno: Errno) -> Option<LocalFaultReason> {
    match errno {
        // epoll returns ENOSPC if a user's watches are used up.
        Errno::EMFILE | Errno::ENFILE | Errno::ENOSPC => Some(LocalFaultReason::NoDescriptor),
        Errno::ENOBUFS | Errno::ENOMEM => Some(LocalFaultReason::NoMemory),
        // If no port is left, UDP returns EAGAIN and TCP returns EADDRNOTAVAIL.
        Errno::EADDRINUSE | Errno::EADDRNOTAVAIL | Errno::EAGAIN => Some(LocalFaultReason::NoPort),
        // An error without a kernel code, as from a runtime that shuts down, does not concern the target.
        Errno::EINVAL | Errno::UnknownErrno => Some(LocalFaultReason::Invalid),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pending_error_has_another_meaning() {
        use ConnectError::{Answered, Local, Unsent};
        use LocalFaultReason::{Invalid, NoDescriptor, NoMemory, NoPort, NotPermitted};

        let unreachable = Answered(Class::Unreachable);
        let no_route = Unsent(Class::Unreachable);
        for (code, early, later) in [
            (Errno::ECONNREFUSED, Answered(Class::Refused), Answered(Class::Refused)),
            (Errno::ECONNRESET, Answered(Class::Refused), Answered(Class::Refused)),
            (Errno::ETIMEDOUT, Local(Invalid), Answered(Class::Timeout)),
            (Errno::EHOSTUNREACH, no_route, unreachable),
            (Errno::ENETUNREACH, no_route, unreachable),
            (Errno::ENETDOWN, no_route, unreachable),
            (Errno::EHOSTDOWN, no_route, unreachable),
            (Errno::EAFNOSUPPORT, no_route, unreachable),
            (Errno::ENOPROTOOPT, Local(Invalid), unreachable),
            (Errno::EOPNOTSUPP, Local(Invalid), unreachable),
            (Errno::EPROTO, Local(Invalid), unreachable),
            (Errno::EACCES, Local(NotPermitted), unreachable),
            (Errno::EPERM, Local(NotPermitted), unreachable),
            (Errno::EMFILE, Local(NoDescriptor), Local(NoDescriptor)),
            (Errno::ENFILE, Local(NoDescriptor), Local(NoDescriptor)),
            (Errno::ENOSPC, Local(NoDescriptor), Local(NoDescriptor)),
            (Errno::ENOBUFS, Local(NoMemory), Local(NoMemory)),
            (Errno::ENOMEM, Local(NoMemory), Local(NoMemory)),
            (Errno::EADDRNOTAVAIL, Local(NoPort), Local(NoPort)),
            (Errno::EADDRINUSE, Local(NoPort), Local(NoPort)),
            (Errno::EAGAIN, Local(NoPort), Local(NoPort)),
            (Errno::EINVAL, Local(Invalid), Local(Invalid)),
        ] {
            let error = io::Error::from_raw_os_error(code as i32);
            assert_eq!(at_once(&error), early, "{code:?} at once");
            assert_eq!(late(&error), later, "{code:?} late");
        }
        assert_eq!(late(&io::Error::other("not from the kernel")), Local(Invalid));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn icmp_codes_that_only_linux_knows_are_unreachable() {
        let error = io::Error::from_raw_os_error(Errno::ENONET as i32);
        assert_eq!(late(&error), ConnectError::Answered(Class::Unreachable));
    }

    #[test]
    fn errors_of_open_connections_have_classes() {
        let failure = |class, detail: &str| Fault::failure(Phase::Protocol, class, detail);
        let forbidden = |code| {
            format!("cannot use the connection: a firewall, route or policy of this machine forbids it ({code})")
        };
        for (error, expected) in [
            (Errno::ECONNRESET.into(), failure(Class::Reset, "a RST ended the connection; expected its greeting")),
            (Errno::EPIPE.into(), Fault::disconnected(Phase::Protocol, "its greeting")),
            (Errno::ETIMEDOUT.into(), failure(Class::Stalled, "packets were lost (ETIMEDOUT); expected its greeting")),
            (
                Errno::EHOSTUNREACH.into(),
                failure(Class::Stalled, "packets were lost (EHOSTUNREACH); expected its greeting"),
            ),
            (
                Errno::ENOBUFS.into(),
                Fault::local(
                    LocalFaultReason::NoMemory,
                    "cannot use the connection: the kernel has no memory left (ENOBUFS)",
                ),
            ),
            (Errno::EPERM.into(), Fault::local(LocalFaultReason::NotPermitted, forbidden("EPERM"))),
            (Errno::EACCES.into(), Fault::local(LocalFaultReason::NotPermitted, forbidden("EACCES"))),
            (ErrorKind::UnexpectedEof.into(), Fault::disconnected(Phase::Protocol, "its greeting")),
        ] {
            let error: io::Error = error;
            assert_eq!(broken(&error, Phase::Protocol, "its greeting"), expected, "{error:?}");
        }
    }
}
