//! The entry point for fuzz targets, with a peer that sends any bytes. A conversation must only end.

use std::net::Ipv4Addr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf, join, sink};
use tokio::runtime;
use tokio::time::Instant;

use super::{ConversationError, Request, SCHEMES, Wire, of};
use crate::outcome::ServiceFacts;
use crate::target::{Cadence, Protocol, Scheme, Security, TargetUrl};

/// Runs a conversation of a scheme with a peer that sends these bytes and then closes the connection.
///
/// The first byte is not sent. Its highest bit requests TLS first, if the protocol supports it; the others are the
/// length of the pieces in which the rest arrives, or 0 for one piece.
pub fn converse(scheme: &str, data: &[u8]) {
    let Some((control, sent)) = data.split_first() else { return };
    let upgraded = (control & UPGRADE != 0).then(|| format!("{scheme}+starttls"));
    let scheme = upgraded
        .filter(|scheme| SCHEMES.find(scheme).is_ok())
        .unwrap_or_else(|| scheme.to_owned());
    let _ = talk(&scheme, &mut Pieces::new(sent, usize::from(control & !UPGRADE)));
}

/// Runs a conversation; `None` if the scheme has none.
fn talk(scheme: &str, pieces: &mut Pieces<'_>) -> Option<Result<ServiceFacts, ConversationError>> {
    let url = TargetUrl::parse(&format!("{scheme}://peer"), Scheme::default(), SCHEMES).ok()?;
    let endpoint = url.endpoints().next()?;
    let Protocol::Service(service, security) = endpoint.protocol else { return None };
    let mut conversation =
        of(service)?.begin(Request { endpoint: &endpoint, local_address: Ipv4Addr::LOCALHOST.into() });
    let mut channel = join(pieces, sink());
    let runtime = runtime::Builder::new_current_thread().enable_time().build().ok()?;
    Some(runtime.block_on(async {
        let mut wire = Wire::new(&mut channel, Vec::new(), Instant::now() + Cadence::DEFAULT_TIMEOUT);
        if security == Security::Starttls {
            conversation.upgrade(&mut wire).await?;
        }
        Ok(conversation.exchange(&mut wire).await?.of(service))
    }))
}

/// Bytes that arrive in pieces.
struct Pieces<'a> {
    sent: &'a [u8],
    /// The length of a piece; 0 for one piece.
    length: usize,
    /// The number of reads before the first byte arrives, so that the client can send first. Libraries consider a
    /// response before the request invalid.
    delays: u8,
}

impl<'a> Pieces<'a> {
    const fn new(sent: &'a [u8], length: usize) -> Self {
        Self { sent, length, delays: 8 }
    }
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if let Some(less) = self.delays.checked_sub(1) {
            self.delays = less;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let length = if self.length == 0 { usize::MAX } else { self.length };
        let (piece, rest) = self.sent.split_at(length.min(to.remaining()).min(self.sent.len()));
        to.put_slice(piece);
        self.sent = rest;
        Poll::Ready(Ok(()))
    }
}

const UPGRADE: u8 = 0x80;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::ALL;
    use super::*;

    #[test]
    fn every_protocol_has_a_target_and_a_seed() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        for name in ALL.iter().map(|protocol| protocol.service().name) {
            assert!(fuzz.join(format!("fuzz_targets/{name}.rs")).is_file(), "no target of {name}");
            assert!(fuzz.join(format!("corpus/{name}/plain")).is_file(), "no seed of {name}");
        }
    }

    /// Returns the bytes that a valid peer sends.
    fn seed(name: &str, form: &str) -> Option<Vec<u8>> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fuzz/corpus/{name}/{form}"));
        fs::read(path).ok().map(|mut seed| seed.split_off(1))
    }

    /// WebSocket is excluded, because its response depends on a random key.
    #[test]
    fn valid_seeds_succeed() {
        for name in ALL.iter().map(|protocol| protocol.service().name).filter(|name| *name != "ws") {
            for (form, scheme) in [("plain", name.to_owned()), ("starttls", format!("{name}+starttls"))] {
                for length in [0, 1] {
                    let Some(sent) = seed(name, form) else { continue };
                    let ended = talk(&scheme, &mut Pieces::new(&sent, length));
                    assert!(matches!(ended, Some(Ok(_))), "{scheme}: {ended:?}");
                }
            }
        }
    }

    #[test]
    fn no_protocol_accepts_the_bytes_of_another() {
        let names = || ALL.iter().map(|protocol| protocol.service().name);
        let pairs = names().flat_map(|server| names().map(move |client| (client, server)));
        for (client, server) in pairs.filter(|(client, server)| client != server && !ALIKE.contains(&(client, server)))
        {
            let sent = seed(server, "plain").unwrap();
            let ended = talk(client, &mut Pieces::new(&sent, 0));
            let is_error = matches!(ended, Some(Err(ConversationError::Unexpected(_) | ConversationError::Closed(_))));
            assert!(is_error, "client of {client}, server of {server}: {ended:?}");
        }
    }

    /// Replaces each possible number in the bytes of a valid peer by 0, 1, the highest and the lowest value, and lets
    /// the peer continue.
    #[test]
    fn no_number_exceeds_the_limits() {
        let more = vec![0; 2 * LONGEST];
        for name in ALL.iter().map(|protocol| protocol.service().name) {
            for (form, scheme) in [("plain", name.to_owned()), ("starttls", format!("{name}+starttls"))] {
                let Some(sent) = seed(name, form) else { continue };
                for (lie, mut sends) in lies(&sent) {
                    sends.extend_from_slice(&more);
                    let mut pieces = Pieces::new(&sends, 0);
                    assert!(talk(&scheme, &mut pieces).is_some(), "{scheme}: {lie}");
                    let taken = sends.len() - pieces.sent.len();
                    assert!(taken <= LONGEST, "{scheme}: {lie}: {taken} bytes are taken");
                }
            }
        }
    }

    /// Returns the bytes with one number replaced, each with a description.
    fn lies(sent: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut lies = Vec::new();
        let mut lie = |at: usize, length: usize, number: &[u8]| {
            let lie = [&sent[..at], number, &sent[at + length..]].concat();
            lies.push((format!("{number:02x?} at {at}"), lie));
        };
        // In text, only numerals are numbers.
        for width in [1, 2, 3, 4, 8].into_iter().filter(|_| !is_text(sent)) {
            for at in (0..sent.len()).filter(|at| at + width <= sent.len()) {
                let least = [&vec![0; width - 1][..], &[1]].concat();
                let most = [&[0x7f][..], &vec![0xff; width - 1]].concat();
                let turned = |number: &[u8]| number.iter().rev().copied().collect::<Vec<_>>();
                let numbers = [vec![0; width], vec![0xff; width], turned(&least), turned(&most), least, most];
                for number in BTreeSet::from(numbers) {
                    lie(at, width, &number);
                }
            }
        }
        for (at, digits) in numerals(sent) {
            for number in ["", "0", "1", "-1", "9223372036854775807", "18446744073709551616"] {
                lie(at, digits, number.as_bytes());
            }
        }
        lies
    }

    fn is_text(sent: &[u8]) -> bool {
        sent.iter().all(|byte| matches!(byte, b'\t' | b'\r' | b'\n' | b' '..=b'~'))
    }

    /// Returns the position and length of each numeral.
    fn numerals(sent: &[u8]) -> Vec<(usize, usize)> {
        let begins = |at: &usize| sent[*at].is_ascii_digit() && (*at == 0 || !sent[at - 1].is_ascii_digit());
        let digits = |at: usize| sent[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        (0..sent.len()).filter(begins).map(|at| (at, digits(at))).collect()
    }

    /// Longer than any response that is accepted.
    const LONGEST: usize = 128 << 10;

    /// Protocols with equal responses. Mail servers that do not name their protocol greet like FTP. SMTP and LMTP
    /// servers reject the first command of the other protocol, but this peer ignores commands.
    const ALIKE: [(&str, &str); 3] = [("ftp", "lmtp"), ("lmtp", "smtp"), ("smtp", "lmtp")];

    proptest! {
        #[test]
        fn every_conversation_ends(data in vec(any::<u8>(), 0..300)) {
            for protocol in ALL {
                converse(protocol.service().name, &data);
            }
        }
    }
}
