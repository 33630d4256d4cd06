//! Entry point for fuzzers: a peer that sends any bytes. Nothing is returned; a conversation must only end.

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
/// The first byte is not sent. Its highest bit requests TLS first, if the protocol can; the others are the length of
/// the pieces in which the rest arrives, 0 for all at once.
pub fn converse(scheme: &str, data: &[u8]) {
    let Some((manner, said)) = data.split_first() else { return };
    let asked = (manner & UPGRADE != 0).then(|| format!("{scheme}+starttls"));
    let scheme = asked
        .filter(|scheme| SCHEMES.find(scheme).is_ok())
        .unwrap_or_else(|| scheme.to_owned());
    let _ = talk(&scheme, &mut Pieces::new(said, usize::from(manner & !UPGRADE)));
}

/// Result of a conversation; `None` if the scheme has none.
fn talk(scheme: &str, pieces: &mut Pieces<'_>) -> Option<Result<ServiceFacts, ConversationError>> {
    let url = TargetUrl::parse(&format!("{scheme}://peer"), Scheme::default(), SCHEMES).ok()?;
    let endpoint = url.endpoints().next()?;
    let Protocol::Service(service, security) = endpoint.protocol else { return None };
    let mut conversation = of(service)?.begin(Request { endpoint: &endpoint });
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
    said: &'a [u8],
    /// 0 for all at once.
    length: usize,
    /// How often the client may still write first. A library considers a reply before its request invalid.
    patience: u8,
}

impl<'a> Pieces<'a> {
    const fn new(said: &'a [u8], length: usize) -> Self {
        Self { said, length, patience: 8 }
    }
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if let Some(less) = self.patience.checked_sub(1) {
            self.patience = less;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let length = if self.length == 0 { usize::MAX } else { self.length };
        let (piece, rest) = self.said.split_at(length.min(to.remaining()).min(self.said.len()));
        to.put_slice(piece);
        self.said = rest;
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

    /// The bytes of a valid peer, without the first byte.
    fn seed(name: &str, form: &str) -> Option<Vec<u8>> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fuzz/corpus/{name}/{form}"));
        fs::read(path).ok().map(|mut seed| seed.split_off(1))
    }

    /// Not for WebSocket, whose reply depends on a random key.
    #[test]
    fn valid_seeds_succeed() {
        for name in ALL.iter().map(|protocol| protocol.service().name).filter(|name| *name != "ws") {
            for (form, scheme) in [("plain", name.to_owned()), ("starttls", format!("{name}+starttls"))] {
                for length in [0, 1] {
                    let Some(said) = seed(name, form) else { continue };
                    let ended = talk(&scheme, &mut Pieces::new(&said, length));
                    assert!(matches!(ended, Some(Ok(_))), "{scheme}: {ended:?}");
                }
            }
        }
    }

    #[test]
    fn nobody_is_taken_for_another() {
        let names = || ALL.iter().map(|protocol| protocol.service().name);
        let pairs = names().flat_map(|asked| names().map(move |asking| (asking, asked)));
        for (asking, asked) in pairs.filter(|(asking, asked)| asking != asked && !ALIKE.contains(&(asking, asked))) {
            let said = seed(asked, "plain").unwrap();
            let ended = talk(asking, &mut Pieces::new(&said, 0));
            let told = matches!(ended, Some(Err(ConversationError::Unexpected(_) | ConversationError::Closed(_))));
            assert!(told, "{asking} asks {asked}: {ended:?}");
        }
    }

    /// Replaces each number, or what could be one, in the bytes of a valid peer by 0, 1, the highest and the lowest,
    /// and lets the peer continue.
    #[test]
    fn no_number_exceeds_the_bounds() {
        let more = vec![0; 2 * LONGEST];
        for name in ALL.iter().map(|protocol| protocol.service().name) {
            for (form, scheme) in [("plain", name.to_owned()), ("starttls", format!("{name}+starttls"))] {
                let Some(said) = seed(name, form) else { continue };
                for (lie, mut says) in lies(&said) {
                    says.extend_from_slice(&more);
                    let mut pieces = Pieces::new(&says, 0);
                    assert!(talk(&scheme, &mut pieces).is_some(), "{scheme}: {lie}");
                    let taken = says.len() - pieces.said.len();
                    assert!(taken <= LONGEST, "{scheme}: {lie}: {taken} bytes are taken");
                }
            }
        }
    }

    /// The bytes with one number replaced, and its place.
    fn lies(said: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut lies = Vec::new();
        let mut lie = |at: usize, length: usize, number: &[u8]| {
            let lie = [&said[..at], number, &said[at + length..]].concat();
            lies.push((format!("{number:02x?} at {at}"), lie));
        };
        // In a text only numerals are numbers.
        for width in [1, 2, 3, 4, 8].into_iter().filter(|_| !is_text(said)) {
            for at in (0..said.len()).filter(|at| at + width <= said.len()) {
                let least = [&vec![0; width - 1][..], &[1]].concat();
                let most = [&[0x7f][..], &vec![0xff; width - 1]].concat();
                let turned = |number: &[u8]| number.iter().rev().copied().collect::<Vec<_>>();
                let numbers = [vec![0; width], vec![0xff; width], turned(&least), turned(&most), least, most];
                for number in BTreeSet::from(numbers) {
                    lie(at, width, &number);
                }
            }
        }
        for (at, digits) in numerals(said) {
            for number in ["", "0", "1", "-1", "9223372036854775807", "18446744073709551616"] {
                lie(at, digits, number.as_bytes());
            }
        }
        lies
    }

    fn is_text(said: &[u8]) -> bool {
        said.iter().all(|byte| matches!(byte, b'\t' | b'\r' | b'\n' | b' '..=b'~'))
    }

    /// Place and length of numerals.
    fn numerals(said: &[u8]) -> Vec<(usize, usize)> {
        let begins = |at: &usize| said[*at].is_ascii_digit() && (*at == 0 || !said[at - 1].is_ascii_digit());
        let digits = |at: usize| said[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        (0..said.len()).filter(begins).map(|at| (at, digits(at))).collect()
    }

    /// Longer than any reply that is accepted.
    const LONGEST: usize = 128 << 10;

    /// Mail servers that do not name their protocol greet like FTP. SMTP and LMTP differ in their reply to the first
    /// command of the other, but this peer does not depend on commands.
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
