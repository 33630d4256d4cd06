//! The Remote Framebuffer Protocol of VNC (RFC 6143 sections 7.1.1 and 7.1.2).
//!
//! Exchanges versions, reads the security types that the server offers, and closes. `TigerVNC` logs the start and the
//! end of the connection.
//!
//! A server that accepts no clients sends a reason instead. Most implementations hold off clients that often connect
//! without a login, each with its own words. Since they serve others, that is not a failure.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Buf as _;

use super::frame::{Malformed, length, take, text, unframed};
use super::lines::line;
use super::{Caution, Conversation, ConversationError, Parsed, Protocol, Request, ServiceReply, Wire};
use crate::target::Service;

/// VNC.
#[derive(Debug)]
pub(super) struct Vnc;

pub(super) static SERVICE: Service =
    Service { name: "vnc", port: 5900, tls_name: "vnc+tls", tls_port: 5900, ..Service::DEFAULT };

impl Protocol for Vnc {
    fn service(&self) -> &'static Service {
        &SERVICE
    }

    fn begin(&self, _: Request<'_>) -> Box<dyn Conversation> {
        Box::new(Session)
    }

    /// `TigerVNC` holds off an address after five connections without a login, for 10 s and then for twice the time
    /// before (`BlacklistThreshold` and `BlacklistTimeout` in `Xvnc(1)`).
    fn caution(&self) -> Option<Caution> {
        Some(Caution {
            interval: Duration::from_secs(5),
            why: "VNC servers hold off addresses that often connect without a login, which affects all viewers on this machine",
            instead: "raise the limit of the server, such as BlacklistThreshold of TigerVNC",
        })
    }
}

#[derive(Debug)]
struct Session;

#[async_trait]
impl Conversation for Session {
    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        let version = wire.receive("an RFB version", MAX_REASON, version).await?;
        wire.send(version.common()).await?;
        let read = |buffered: &[u8]| unframed(buffered, |rest| version.security(rest));
        match wire.receive("the security types", MAX_REASON, read).await? {
            Security::Failed(reason) if !is_lockout(&reason) => {
                Err(ConversationError::Rejected(reason.trim_end().to_owned()))
            }
            Security::Failed(_) | Security::Offered => {
                Ok(ServiceReply { version: Some(version.to_string()), role: None })
            }
        }
    }
}

/// Returns whether a reason means that this client connects too often without a login: "Too many security failures"
/// (`TigerVNC`, `RealVNC`), "Too many authentication failures" (`TightVNC`, `TurboVNC`), "Your connection has been
/// rejected to many attempts." (`UltraVNC`).
fn is_lockout(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    reason.contains("many") && ["failure", "attempt"].iter().any(|counted| reason.contains(counted))
}

/// The security types of a server.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Security {
    /// None, with the reason.
    Failed(String),
    Offered,
}

/// A version of the protocol, at least 3.3.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Version {
    major: u16,
    minor: u16,
}

impl Version {
    /// Returns the highest version that both this server and RFC 6143 support.
    const fn common(self) -> &'static [u8] {
        match self {
            Self { major: 3, minor: ..=6 } => b"RFB 003.003\n",
            Self { major: 3, minor: 7 } => b"RFB 003.007\n",
            Self { .. } => b"RFB 003.008\n",
        }
    }

    /// Parses the security types. In version 3.3 the server sends its choice as a number of four bytes, in later
    /// versions a list of bytes. Zero or an empty list is a failure and is followed by a reason.
    fn security(self, rest: &mut &[u8]) -> Result<Security, Malformed> {
        let is_offered = if matches!(self, Self { major: 3, minor: ..=6 }) {
            rest.try_get_u32()? != 0
        } else {
            let count = rest.try_get_u8()?;
            take(rest, count.into())?;
            count != 0
        };
        if is_offered {
            return Ok(Security::Offered);
        }
        let length = length(rest.try_get_u32()?);
        Malformed::unless(length <= MAX_REASON, "its reason is too long")?;
        Ok(Security::Failed(text(take(rest, length)?)))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Parses a version: `RFB 003.008` and a line feed. `RealVNC` sends `RFB 005.000` and also supports 3.8.
fn version(buffered: &[u8]) -> Parsed<Version> {
    line(buffered, &[b"RFB 003.", b"RFB 004.", b"RFB 005."]).and_then(|line| {
        let digits = |range| {
            str::from_utf8(line.get(range)?)
                .ok()
                .filter(|text| is_number(text))?
                .parse()
                .ok()
        };
        let numbers = (line.len() == 11).then(|| Some((digits(4..7)?, digits(8..11)?))).flatten();
        let (major, minor) = numbers.ok_or("it is not a version of RFB")?;
        Ok(Version { major, minor })
    })
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

const MAX_REASON: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Script, assert_survives, summary, talk};
    use super::*;

    fn failure(reason: &str) -> Vec<u8> {
        [&u32::try_from(reason.len()).unwrap().to_be_bytes()[..], reason.as_bytes()].concat()
    }

    #[tokio::test(start_paused = true)]
    async fn the_version_is_common_to_both_sides() {
        for (theirs, security, ours, version) in [
            ("RFB 003.008\n", &b"\x02\x01\x02"[..], "RFB 003.008\n", "3.8"),
            ("RFB 003.007\n", b"\x01\x02", "RFB 003.007\n", "3.7"),
            ("RFB 003.003\n", b"\0\0\0\x02", "RFB 003.003\n", "3.3"),
            ("RFB 003.889\n", b"\x01\x1e", "RFB 003.008\n", "3.889"),
            ("RFB 005.000\n", b"\x01\x05", "RFB 003.008\n", "5.0"),
        ] {
            let script = Script::greets(theirs).responds(security);
            let (found, sent) = talk(&Vnc, "vnc://a", &script).await;
            assert_eq!((found.unwrap().version.as_deref(), &*sent), (Some(version), ours.as_bytes()));
            assert_survives(&Vnc, "vnc://a", &script).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_has_a_class() {
        let greets = || Script::greets("RFB 003.008\n");
        for (script, expected) in [
            (greets().responds([b"\0", &*failure("Too many security failures")].concat()), "ok"),
            // At once, like TigerVNC.
            (Script::greets([b"RFB 003.003\n\0\0\0\0", &*failure("Too many security failures")].concat()), "ok"),
            (greets().responds([b"\0", &*failure("Too many authentication failures\n")].concat()), "ok"),
            (
                greets().responds([b"\0", &*failure("Your connection has been rejected to many attempts.")].concat()),
                "ok",
            ),
            (
                greets().responds([b"\0", &*failure("Your connection has been rejected.")].concat()),
                "rejected: Your connection has been rejected.",
            ),
            (greets().responds([b"\0", &*failure("Server is full\n")].concat()), "rejected: Server is full"),
            (
                greets().responds(b"\0\xff\xff\xff\xff"),
                "unexpected: expected the security types, received \"\\x00\\xff\\xff\\xff\\xff\": its reason is too long",
            ),
            (
                Script::greets("RFB 003.8\n"),
                "unexpected: expected an RFB version, received \"RFB 003.8\\n\": it is not a version of RFB",
            ),
            (
                Script::greets("RFB 003.+08\n"),
                "unexpected: expected an RFB version, received \"RFB 003.+08\\n\": it is not a version of RFB",
            ),
            (
                Script::greets("SSH-2.0"),
                "unexpected: expected an RFB version, received \"SSH-2.0\": it does not start as expected",
            ),
            (Script::greets(""), "closed: an RFB version"),
        ] {
            assert_eq!(summary(talk(&Vnc, "vnc://a", &script).await.0), expected);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_parsed(minor in any::<u16>(), bytes in any::<Vec<u8>>()) {
            let _ = version(&[&b"RFB 003."[..], &bytes].concat());
            let _ = Version { major: 3, minor }.security(&mut &*bytes);
        }
    }
}
