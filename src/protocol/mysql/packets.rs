//! The packets of a login. Each has a length of three bytes and a number.

use std::fmt;

use bytes::{Buf as _, BufMut as _};

use super::super::Parsed;
use super::super::frame::{Malformed, dotted, frame, take, take_to_zero, text};

/// The relevant fields of a greeting (`HandshakeV10`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Greeting {
    pub(super) version: Option<String>,
    capabilities: u32,
    /// The login method.
    method: Method,
}

impl Greeting {
    /// Returns whether the server offers TLS.
    pub(super) const fn offers_tls(&self) -> bool {
        self.capabilities & SSL != 0
    }

    fn read(mut rest: &[u8]) -> Result<Self, Malformed> {
        Malformed::unless(rest.try_get_u8()? == 10, "its version is not 10")?;
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

    /// Returns the response without a password. One of an unexpected length would count as a disconnect.
    pub(super) fn without_password(&self) -> &'static [u8] {
        match &*self.0 {
            b"caching_sha2_password" | b"dialog" | b"mysql_clear_password" | b"sha256_password" => b"\0",
            b"client_ed25519" => &[0; 64],
            _ => b"",
        }
    }

    /// Returns the response to a further request.
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
    /// SQLSTATE, if it is known.
    pub(super) state: Option<String>,
    pub(super) text: String,
}

impl Refusal {
    /// Parses an error after its first byte. An SQLSTATE of five letters precedes the text if the server knows the
    /// capabilities of the client.
    fn read(mut rest: &[u8]) -> Result<Self, Malformed> {
        let code = rest.try_get_u16_le()?;
        let state = rest.split_at_checked(6).filter(|(state, _)| state.starts_with(b"#"));
        let (state, message) = state.map_or((None, rest), |(state, message)| (state.get(1..).map(text), message));
        Ok(Self { code, state, text: text(message) })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

/// A response to a login.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Reply {
    Ok,
    /// The server requires another method.
    Other(Method),
    /// The method has a further request.
    Question,
    Refused(Refusal),
}

/// Parses a greeting, or an error instead of it.
pub(super) fn greeting(buffered: &[u8]) -> Parsed<Result<Greeting, Refusal>> {
    packet(buffered).and_then(|(number, payload)| {
        Malformed::unless(number == 0, "it is not the first packet")?;
        match payload.split_first() {
            Some((&ERR, rest)) => Refusal::read(rest).map(Err),
            _ => Greeting::read(&payload).map(Ok),
        }
    })
}

/// Parses the response to a login, with its number.
pub(super) fn reply(buffered: &[u8]) -> Parsed<(u8, Reply)> {
    packet(buffered).and_then(|(number, payload)| {
        let reply = match payload.split_first() {
            Some((0, _)) => Reply::Ok,
            Some((&ERR, rest)) => Reply::Refused(Refusal::read(rest)?),
            Some((0xfe, rest)) => Reply::Other(Method::named_at(rest)),
            Some((1 | 2, _)) => Reply::Question,
            _ => return Err("it is not a response to a login".into()),
        };
        Ok((number, reply))
    })
}

/// Returns a login as `portprobe` without a password.
pub(super) fn login(greeting: &Greeting, number: u8) -> Vec<u8> {
    // After an earlier packet, TLS is in use.
    let mut payload = client(if number > 1 { SSL } else { 0 });
    payload.put_slice(b"portprobe\0");
    payload.put_u8(0);
    payload.put_slice(if greeting.method.0.is_empty() { NATIVE } else { &greeting.method.0 });
    payload.put_u8(0);
    framed(number, &payload)
}

/// Returns a request for TLS.
pub(super) fn ssl_request() -> Vec<u8> {
    framed(1, &client(SSL))
}

/// Returns the fields of a client: capabilities, maximum packet length, character set.
fn client(more: u32) -> Vec<u8> {
    let mut payload = Vec::new();
    payload.put_u32_le(LONG_PASSWORD | PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH | more);
    payload.put_u32_le(1 << 24);
    payload.put_u8(UTF8);
    payload.put_bytes(0, 23);
    payload
}

/// Returns a packet with its length and number.
pub(super) fn framed(number: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.put_uint_le(payload.len() as u64, 3);
    packet.put_u8(number);
    packet.put_slice(payload);
    packet
}

/// Parses the number and the payload of a packet.
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

/// Returns the dotted numbers of a version, and whether it is MariaDB, which may put an old version first for old
/// clients.
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

/// The method of a server that does not name one.
const NATIVE: &[u8] = b"mysql_native_password";

/// Length of a header: length and number.
const HEADER: usize = 4;

/// Size of the connection number, the first eight bytes of a salt and a zero.
const THREAD_AND_SALT: usize = 13;

const CHARSET_AND_STATUS: usize = 3;

/// Size of the reserved bytes, where MariaDB has additional capabilities.
const RESERVED: usize = 10;

const FIRST_SALT: usize = 8;
const MIN_SECOND_SALT: usize = 13;
