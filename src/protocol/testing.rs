//! Tools for protocol tests: scripted peers, and checks that every parser must pass.

use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::{Instant, timeout};

use super::{Conversation, ConversationError, Protocol, Request, SCHEMES, ServiceReply, Wire, begin_http};
use crate::target::{Endpoint, HttpSettings, Scheme, TargetUrl};

/// The turns of a peer, and whether it keeps the connection open at the end.
#[derive(Clone, Debug)]
pub(super) struct Script {
    turns: Vec<Turn>,
    stays: bool,
}

#[derive(Clone, Debug)]
enum Turn {
    /// Waits for data that was not received in an earlier turn.
    Receive,
    Send(Vec<u8>),
}

impl Script {
    /// Creates a peer that sends first.
    pub(super) fn greets(greeting: impl AsRef<[u8]>) -> Self {
        Self { turns: vec![Turn::Send(greeting.as_ref().to_vec())], stays: false }
    }

    /// Creates a peer that receives first.
    pub(super) fn listens() -> Self {
        Self { turns: Vec::new(), stays: false }
    }

    /// Adds a response.
    pub(super) fn responds(mut self, response: impl AsRef<[u8]>) -> Self {
        self.turns.extend([Turn::Receive, Turn::Send(response.as_ref().to_vec())]);
        self
    }

    /// Keeps the connection open at the end.
    pub(super) fn stays_silent(mut self) -> Self {
        self.stays = true;
        self
    }

    /// Returns the number of bytes that the peer sends.
    fn length(&self) -> usize {
        self.turns.iter().map(Turn::length).sum()
    }

    /// Returns the script up to `length` sent bytes.
    fn cut(&self, length: usize) -> Self {
        let mut left = length;
        let mut turns = Vec::new();
        for turn in &self.turns {
            match turn {
                Turn::Send(bytes) if bytes.len() > left => {
                    turns.push(Turn::Send(bytes[..left].to_vec()));
                    break;
                }
                turn => {
                    left -= turn.length();
                    turns.push(turn.clone());
                }
            }
        }
        Self { turns, stays: self.stays }
    }

    /// Returns a script that sends these bytes instead of its responses.
    fn sending(&self, bytes: &[u8]) -> Self {
        let receives_first = matches!(self.turns.first(), Some(Turn::Receive));
        let sends = Turn::Send(bytes.to_vec());
        Self { turns: if receives_first { vec![Turn::Receive, sends] } else { vec![sends] }, stays: false }
    }

    async fn play(self, mut peer: DuplexStream, pieces: usize) -> Vec<u8> {
        let mut received = Vec::new();
        for turn in self.turns {
            match turn {
                Turn::Receive => {
                    if peer.read_buf(&mut received).await.unwrap_or(0) == 0 {
                        return received;
                    }
                }
                Turn::Send(bytes) => {
                    for piece in bytes.chunks(pieces) {
                        if peer.write_all(piece).await.is_err() {
                            return received;
                        }
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
        if !self.stays {
            let _ = peer.shutdown().await;
        }
        let _ = peer.read_to_end(&mut received).await;
        received
    }
}

impl Turn {
    fn length(&self) -> usize {
        match self {
            Self::Receive => 0,
            Self::Send(bytes) => bytes.len(),
        }
    }
}

/// Returns the endpoint of a URL.
pub(super) fn endpoint(url: &str) -> Endpoint {
    TargetUrl::parse(url, Scheme::default(), SCHEMES)
        .unwrap()
        .endpoints()
        .next()
        .unwrap()
}

/// Returns the request of a client with the address 192.0.2.7.
pub(super) fn request(endpoint: &Endpoint) -> Request<'_> {
    Request { endpoint, local_address: [192, 0, 2, 7].into() }
}

/// Runs an exchange with a peer. Returns its result and the bytes that the peer received.
pub(super) async fn talk(
    protocol: &dyn Protocol,
    url: &str,
    script: &Script,
) -> (Result<ServiceReply, ConversationError>, Vec<u8>) {
    play(protocol, url, script, usize::MAX, Part::Exchange).await
}

/// Like [`talk`], with these HTTP settings.
pub(super) async fn talk_with(
    url: &str,
    http: &Arc<HttpSettings>,
    script: &Script,
) -> (Result<ServiceReply, ConversationError>, Vec<u8>) {
    talk_with_headers(url, http, Arc::default(), script).await
}

/// Like [`talk_with`], with headers from files.
pub(super) async fn talk_with_headers(
    url: &str,
    http: &Arc<HttpSettings>,
    file_headers: Arc<[(HeaderName, HeaderValue)]>,
    script: &Script,
) -> (Result<ServiceReply, ConversationError>, Vec<u8>) {
    let endpoint = endpoint(url);
    let conversation = begin_http(request(&endpoint), http.clone(), file_headers);
    play_with(conversation, script, usize::MAX, Part::Exchange).await
}

/// Requests TLS from a peer. Returns the result and the bytes that the peer received.
pub(super) async fn upgrade(
    protocol: &dyn Protocol,
    url: &str,
    script: &Script,
) -> (Result<ServiceReply, ConversationError>, Vec<u8>) {
    play(protocol, url, script, usize::MAX, Part::Upgrade).await
}

/// Formats a result on one line.
pub(super) fn summary(ended: Result<ServiceReply, ConversationError>) -> String {
    match ended {
        Ok(_) => "ok".to_owned(),
        Err(ConversationError::Broken(error, awaited)) => format!("broken: {awaited}: {error}"),
        Err(ConversationError::Closed(awaited)) => format!("closed: {awaited}"),
        Err(ConversationError::Refused(how)) => format!("refused: {how}"),
        Err(ConversationError::Rejected(how)) => format!("rejected: {how}"),
        Err(ConversationError::Silent(awaited)) => format!("silent: {awaited}"),
        Err(ConversationError::Unexpected(what)) => format!("unexpected: {what}"),
    }
}

#[derive(Clone, Copy)]
enum Part {
    Exchange,
    Upgrade,
}

async fn play(
    protocol: &dyn Protocol,
    url: &str,
    script: &Script,
    pieces: usize,
    part: Part,
) -> (Result<ServiceReply, ConversationError>, Vec<u8>) {
    let endpoint = endpoint(url);
    play_with(protocol.begin(request(&endpoint)), script, pieces, part).await
}

async fn play_with(
    mut conversation: Box<dyn Conversation>,
    script: &Script,
    pieces: usize,
    part: Part,
) -> (Result<ServiceReply, ConversationError>, Vec<u8>) {
    let (mut near, far) = duplex(1 << 16);
    let peer = tokio::spawn(script.clone().play(far, pieces));
    let ended = converse(&mut *conversation, &mut near, part).await;
    drop(near);
    (ended, peer.await.unwrap())
}

async fn converse(
    conversation: &mut dyn Conversation,
    near: &mut DuplexStream,
    part: Part,
) -> Result<ServiceReply, ConversationError> {
    let mut wire = Wire::new(near, Vec::new(), Instant::now() + Duration::from_secs(1));
    let talking = async {
        match part {
            Part::Exchange => conversation.exchange(&mut wire).await,
            Part::Upgrade => conversation.upgrade(&mut wire).await.map(|()| ServiceReply::default()),
        }
    };
    timeout(Duration::from_secs(2), talking)
        .await
        .expect("a conversation ends by its deadline")
}

/// Checks that a parser ends in time with any input, accepts no invalid response, and accepts a valid one in pieces.
pub(super) async fn assert_survives(protocol: &dyn Protocol, url: &str, valid: &Script) {
    let (expected, _) = talk(protocol, url, valid).await;
    assert!(expected.is_ok(), "{expected:?}");
    let (in_pieces, _) = play(protocol, url, valid, 1, Part::Exchange).await;
    assert_eq!(in_pieces.unwrap(), expected.unwrap(), "in pieces of a byte");
    assert_survives_cuts(protocol, url, valid).await;
    for noise in noises() {
        let (ended, _) = talk(protocol, url, &valid.sending(&noise)).await;
        let shown = crate::peer_text::excerpt(&noise).into_owned();
        assert!(
            matches!(ended, Err(ConversationError::Unexpected(_) | ConversationError::Closed(_))),
            "{shown}: {ended:?}"
        );
    }
}

/// Checks responses that end or stall after any byte.
async fn assert_survives_cuts(protocol: &dyn Protocol, url: &str, valid: &Script) {
    for length in 0..valid.length() {
        let (ended, _) = talk(protocol, url, &valid.cut(length)).await;
        let expected = matches!(ended, Err(ConversationError::Closed(_) | ConversationError::Unexpected(_)) | Ok(_));
        assert!(expected, "an end after {length} bytes: {ended:?}");
        let (ended, _) = talk(protocol, url, &valid.cut(length).stays_silent()).await;
        let expected = matches!(ended, Err(ConversationError::Silent(_) | ConversationError::Unexpected(_)) | Ok(_));
        assert!(expected, "silence after {length} bytes: {ended:?}");
    }
    let (ended, _) = talk(protocol, url, &valid.cut(0)).await;
    assert!(matches!(ended, Err(ConversationError::Closed(_))), "{ended:?}");
    let (ended, _) = talk(protocol, url, &valid.cut(0).stays_silent()).await;
    assert!(matches!(ended, Err(ConversationError::Silent(_))), "{ended:?}");
}

/// Returns 1 MiB of the same byte, enormous lengths, and bytes of no protocol.
fn noises() -> Vec<Vec<u8>> {
    let floods = [0, 0xff, b'A', b'\n', b' ', b'0', b'+'].map(|byte| vec![byte; 1 << 20]);
    let others: [&[u8]; 4] =
        [b"\x80", b"\xff\xff\xff\xff\xff\xff\xff\xff", b"\x16\x03\x01\x00\x05hello", b"~~~~~~~~~~\r\n"];
    floods.into_iter().chain(others.map(<[u8]>::to_vec)).collect()
}
