//! The packets of a login, each with a length of three bytes and a number.

use std::fmt;

use bytes::{Buf as _, BufMut as _};

use super::super::Parsed;
use super::super::frame::{Malformed, dotted, frame, take, take_to_zero, text};

/// The relevant fields of a server's greeting (`HandshakeV10`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Greeting {
    pub(super) version: Option<String>,
    capabilities: u32,
    /// The login method.
    method: Method,
}

impl Greeting {
    /// Whether TLS may follow it.
    pub(super) const fn offers_tls(&self) -> bool {
        self.capabilities & SSL != 0
    }

    fn read(mut rest: &[u8]) -> Result<Self, Malformed> {
        Malformed::unless(rest.try_get_u8()? == 10, "it is of another version than 10")?;
        let version = version(take_to_zero(&mut rest)?);
        take(&mut rest, THREAD_AND_SALT)?;
        let low = rest.try_get_u16_le()?;
        // Old servers end here.
        if rest.is_empty() {
            return Ok(Self { version, capabilities: low.into(), method: Method::default() });
        }
        take(&mut rest, CHARSET_AND_STATUS)?;
        let capabilities = u32::from(low) | u32::from(rest.try_get_u16_le()?) << 16;
        let salt = usize::from(rest.try_get_u8()?);
        take(&mut rest, RESERVED)?;
        take(&mut rest, salt.saturating_sub(FIRST_SALT).max(MIN_SECOND_SALT))?;
        Ok(Self { version, capabilities, method: Method::named_at(rest) })
    }
}

/// The name of a login method (authentication plugin); empty if the server names none.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Method(Vec<u8>);

impl Method {
    fn named_at(bytes: &[u8]) -> Self {
        Self(bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec())
    }

    /// The response without a password. A response of an unexpected length counts as a disconnect.
    pub(super) fn without_password(&self) -> &'static [u8] {
        match &*self.0 {
            b"caching_sha2_password" | b"dialog" | b"mysql_clear_password" | b"sha256_password" => b"\0",
            b"client_ed25519" => &[0; 64],
            _ => b"",
        }
    }

    /// The response to a request for more.
    pub(super) fn without_more(&self) -> &'static [u8] {
        match &*self.0 {
            b"dialog" => b"\0",
            // A nonce and a signature.
            b"parsec" => &[0; 96],
            _ => b"",
        }
    }
}

/// An error.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Refusal {
    pub(super) code: u16,
    text: String,
}

impl Refusal {
    /// Parses an error after its first byte. An SQLSTATE of five letters precedes the text if the server knows our
    /// capabilities.
    fn read(mut rest: &[u8]) -> Result<Self, Malformed> {
        let code = rest.try_get_u16_le()?;
        let message = rest
            .split_at_checked(6)
            .filter(|_| rest.starts_with(b"#"))
            .map_or(rest, |(_, message)| message);
        Ok(Self { code, text: text(message) })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

/// Reply to a login.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Reply {
    Ok,
    /// The server wants another method.
    Other(Method),
    /// The method requests more.
    Question,
    Refused(Refusal),
}

/// A greeting, or an error instead.
pub(super) fn greeting(buffered: &[u8]) -> Parsed<Result<Greeting, Refusal>> {
    packet(buffered).and_then(|(number, payload)| {
        Malformed::unless(number == 0, "it is not the first packet")?;
        match payload.split_first() {
            Some((&ERR, rest)) => Refusal::read(rest).map(Err),
            _ => Greeting::read(&payload).map(Ok),
        }
    })
}

/// The reply to a login, and its number.
pub(super) fn reply(buffered: &[u8]) -> Parsed<(u8, Reply)> {
    packet(buffered).and_then(|(number, payload)| {
        let reply = match payload.split_first() {
            Some((0, _)) => Reply::Ok,
            Some((&ERR, rest)) => Reply::Refused(Refusal::read(rest)?),
            Some((0xfe, rest)) => Reply::Other(Method::named_at(rest)),
            Some((1 | 2, _)) => Reply::Question,
            _ => return Err("it is not a reply to a login".into()),
        };
        Ok((number, reply))
    })
}

/// A login as `portprobe`, without a password.
pub(super) fn login(greeting: &Greeting, number: u8) -> Vec<u8> {
    // After an earlier packet TLS is in use.
    let mut payload = client(if number > 1 { SSL } else { 0 });
    payload.put_slice(b"portprobe\0");
    payload.put_u8(0);
    payload.put_slice(if greeting.method.0.is_empty() { NATIVE } else { &greeting.method.0 });
    payload.put_u8(0);
    framed(number, &payload)
}

/// A request for TLS.
pub(super) fn ssl_request() -> Vec<u8> {
    framed(1, &client(SSL))
}

/// Fields of a client: capabilities, maximum packet length, character set.
fn client(more: u32) -> Vec<u8> {
    let mut payload = Vec::new();
    payload.put_u32_le(LONG_PASSWORD | PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH | more);
    payload.put_u32_le(1 << 24);
    payload.put_u8(UTF8);
    payload.put_bytes(0, 23);
    payload
}

/// A packet after its length and its number.
pub(super) fn framed(number: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.put_uint_le(payload.len() as u64, 3);
    packet.put_u8(number);
    packet.put_slice(payload);
    packet
}

/// A packet's number and payload.
fn packet(buffered: &[u8]) -> Parsed<(u8, Vec<u8>)> {
    let size = |mut head: &[u8]| {
        let size = head.try_get_uint_le(3)?;
        Malformed::unless(size > 0, "it is empty")?;
        Ok(usize::try_from(size).unwrap_or(usize::MAX).saturating_add(HEADER))
    };
    frame(buffered, HEADER, size).and_then(|packet| {
        let (head, payload) = packet.split_at_checked(HEADER).ok_or(Malformed::Short)?;
        Ok((head.last().copied().unwrap_or_default(), payload.to_vec()))
    })
}

/// Dotted numbers, and whether it is MariaDB, which may put an old version before its own for old clients.
fn version(text: &[u8]) -> Option<String> {
    let text = str::from_utf8(text).ok()?;
    let text = text.strip_prefix("5.5.5-").unwrap_or(text);
    let numbers = dotted(text)?;
    let product = if text.contains("MariaDB") { "-MariaDB" } else { "" };
    Some(format!("{numbers}{product}"))
}

const LONG_PASSWORD: u32 = 0x1;
const PROTOCOL_41: u32 = 0x200;
const SSL: u32 = 0x800;
const SECURE_CONNECTION: u32 = 0x8000;
const PLUGIN_AUTH: u32 = 0x8_0000;

/// The number of `utf8mb3_general_ci`, which every server supports.
const UTF8: u8 = 33;

const ERR: u8 = 0xff;

/// The method of servers that do not name one.
const NATIVE: &[u8] = b"mysql_native_password";

/// Size of the length and the number of a packet.
const HEADER: usize = 4;

/// Size of a connection's number, the first eight bytes of a salt and a zero.
const THREAD_AND_SALT: usize = 13;

const CHARSET_AND_STATUS: usize = 3;

/// Place of MariaDB's additional capabilities.
const RESERVED: usize = 10;

const FIRST_SALT: usize = 8;
const MIN_SECOND_SALT: usize = 13;
