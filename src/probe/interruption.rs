//! What ends a conversation before it is done.

use std::io::{self, ErrorKind};

use nix::errno::Errno;

use super::tcp::cause;
use super::tcp::errno::errno;
use crate::outcome::{Class, Failure, LocalFault, LocalFaultReason, Phase, Verdict};
use crate::protocol::Ended;

/// A conversation that ended early, after the TCP handshake.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Interruption {
    pub(super) cause: Cause,
    /// What was seen, as a sentence for people.
    pub(super) detail: String,
}

/// Whose doing an interruption is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cause {
    /// This machine's.
    Local(LocalFaultReason),
    /// The peer's, or the network's.
    Peer(Class),
}

impl Interruption {
    /// The peer did this.
    pub(super) fn by_peer(class: Class, detail: impl Into<String>) -> Self {
        Self { cause: Cause::Peer(class), detail: detail.into() }
    }

    /// What an error of an open connection means. `awaited` is what was due, such as "its certificate".
    ///
    /// - RST: `reset`;
    /// - an end, or a RST behind an end, which Linux tells as EPIPE: `disconnected`;
    /// - no buffers: this machine's fault;
    /// - anything else says that packets get lost, and is silence: `stalled`.
    pub(super) fn of_error(error: &io::Error, awaited: &str) -> Self {
        let code = errno(error);
        match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => {
                Self::by_peer(Class::Reset, format!("a RST came instead of {awaited}"))
            }
            ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof | ErrorKind::WriteZero => Self::ended(awaited),
            _ if matches!(code, Errno::ENOBUFS | Errno::ENOMEM) => {
                Self { cause: Cause::Local(LocalFaultReason::NoMemory), detail: cause(code).to_owned() }
            }
            _ => Self::by_peer(Class::Stalled, format!("the network lost {awaited} ({code:?})")),
        }
    }

    /// The peer ended the connection in an orderly way.
    pub(super) fn ended(awaited: &str) -> Self {
        Self::by_peer(Class::Disconnected, format!("the peer ended the connection instead of {awaited}"))
    }

    /// Nothing came until the deadline.
    pub(super) fn silence(awaited: &str) -> Self {
        Self::by_peer(Class::Stalled, format!("the peer is connected but silent: {awaited} never came"))
    }

    /// What it means that a conversation ended in this way.
    pub(super) fn of_conversation(ended: Ended) -> Self {
        match ended {
            Ended::Broken(error, awaited) => Self::of_secured(&error, awaited),
            Ended::Closed(awaited) => Self::ended(awaited),
            Ended::Refused(detail) => Self::by_peer(Class::StarttlsRefused, detail),
            Ended::Rejected(detail) => Self::by_peer(Class::Rejected, detail),
            Ended::Silent(awaited) => Self::silence(awaited),
            Ended::Unexpected(detail) => Self::by_peer(Class::UnexpectedResponse, detail),
        }
    }

    /// As [`Self::of_error`], where TLS may have failed too.
    pub(super) fn of_secured(error: &io::Error, awaited: &str) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            None => Self::of_error(error, awaited),
            Some(rustls::Error::AlertReceived(alert)) => {
                let detail = format!("the peer ended TLS by an alert ({alert:?}) instead of {awaited}");
                Self::by_peer(Class::Disconnected, detail)
            }
            Some(error) => {
                let detail = format!("expected {awaited}, but what came is no TLS ({error})");
                Self::by_peer(Class::UnexpectedResponse, detail)
            }
        }
    }

    /// What it means for the probe.
    pub(super) fn verdict(self, phase: Phase) -> Verdict {
        let Self { cause, detail } = self;
        match cause {
            Cause::Local(reason) => Verdict::LocalFault(LocalFault { reason, detail }),
            Cause::Peer(class) => Verdict::Failed(Failure { phase, class, detail }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_an_open_connection_has_its_class() {
        for (code, expected) in [
            (Errno::ECONNRESET, Cause::Peer(Class::Reset)),
            (Errno::EPIPE, Cause::Peer(Class::Disconnected)),
            (Errno::ETIMEDOUT, Cause::Peer(Class::Stalled)),
            (Errno::EHOSTUNREACH, Cause::Peer(Class::Stalled)),
            (Errno::ENOBUFS, Cause::Local(LocalFaultReason::NoMemory)),
        ] {
            let error = io::Error::from_raw_os_error(code as i32);
            assert_eq!(Interruption::of_error(&error, "its greeting").cause, expected, "{code:?}");
        }
        let end = io::Error::from(ErrorKind::UnexpectedEof);
        let interruption = Interruption::of_error(&end, "its greeting");
        assert_eq!(interruption.detail, "the peer ended the connection instead of its greeting");
    }
}
