//! An entrance for a fuzzer: a peer that says whatever it likes. It returns nothing; what counts is that it returns.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf, join, sink};
use tokio::runtime;
use tokio::time::Instant;

use super::{Request, SCHEMES, Wire, of};
use crate::target::{Cadence, Protocol, Scheme, TargetUrl};

/// Has a peer say these bytes to the protocol of a scheme, and then end the connection.
///
/// The first byte says how: its highest bit that TLS is asked for first, where the protocol can ask, and the others how
/// long the pieces are in which the rest comes; 0: all of it at once.
pub fn converse(scheme: &str, data: &[u8]) {
    let Some((manner, said)) = data.split_first() else { return };
    let runtime = runtime::Builder::new_current_thread().enable_time().build();
    let Ok(runtime) = runtime else { return };
    let asked = (manner & UPGRADE != 0).then(|| format!("{scheme}+starttls"));
    let pieces = Pieces { said, length: usize::from(manner & !UPGRADE) };
    runtime.block_on(async {
        match asked.filter(|scheme| SCHEMES.find(scheme).is_ok()) {
            Some(scheme) => talk(&scheme, true, pieces).await,
            None => talk(scheme, false, pieces).await,
        }
    });
}

async fn talk(scheme: &str, upgrades: bool, pieces: Pieces<'_>) {
    let url = TargetUrl::parse(&format!("{scheme}://peer"), Scheme::default(), SCHEMES);
    let Some(endpoint) = url.ok().and_then(|url| url.endpoints().next()) else { return };
    let Protocol::Service(service, _) = endpoint.protocol else { return };
    let Some(protocol) = of(service) else { return };
    let mut conversation = protocol.begin(Request { endpoint: &endpoint, http: None });
    let mut channel = join(pieces, sink());
    let mut wire = Wire::new(&mut channel, Vec::new(), Instant::now() + Cadence::DEFAULT_TIMEOUT);
    if upgrades && conversation.upgrade(&mut wire).await.is_err() {
        return;
    }
    if let Ok(found) = conversation.exchange(&mut wire).await {
        let _ = found.of(service);
    }
}

/// Bytes that come in pieces.
struct Pieces<'a> {
    said: &'a [u8],
    /// 0: all of them at once.
    length: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
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

    proptest! {
        #[test]
        fn every_conversation_ends(data in vec(any::<u8>(), 0..300)) {
            for protocol in ALL {
                converse(protocol.service().name, &data);
            }
        }
    }
}
