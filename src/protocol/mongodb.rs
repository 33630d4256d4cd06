//! The wire protocol of MongoDB (<https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/>).
//!
//! Sends the command `hello` as `OP_MSG`, which requires no login; if the server does not accept it (before 4.4.2, and
//! compatible servers with codes of their own), sends the older `isMaster`. The server logs the start and the end of a
//! connection, unless `systemLog.quiet` is set.

use async_trait::async_trait;
use bytes::{Buf as _, BufMut as _};

use self::document::Document;
use super::frame::{Malformed, frame, length, text};
use super::{Conversation, ConversationError, MAX_REPLY, Parsed, Protocol, Request, ServiceReply, Wire};
use crate::target::Service;

mod document;

/// MongoDB.
#[derive(Debug)]
pub(super) struct Mongodb;

pub(super) static SERVICE: Service = Service {
    name: "mongodb",
    port: 27017,
    tls_name: "mongodb+tls",
    tls_port: 27017,
    client: Some("mongosh --host {host} --port {port} --eval 'db.hello()'"),
    ..Service::DEFAULT
};

impl Protocol for Mongodb {
    fn service(&self) -> &'static Service {
        &SERVICE
    }

    fn begin(&self, _: Request<'_>) -> Box<dyn Conversation> {
        Box::new(Session)
    }
}

#[derive(Debug)]
struct Session;

#[async_trait]
impl Conversation for Session {
    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        let hello = ask(wire, "hello").await?;
        let hello = if hello.is_final() { hello } else { ask(wire, "isMaster").await? };
        hello.found()
    }
}

async fn ask(wire: &mut Wire<'_>, command: &str) -> Result<Hello, ConversationError> {
    wire.send(&request(command)).await?;
    wire.receive("the response to hello", MAX_REPLY, hello).await
}

/// Returns the command `{command: 1, $db: "admin"}`.
fn request(command: &str) -> Vec<u8> {
    let mut fields = vec![0x10];
    fields.put_slice(command.as_bytes());
    fields.put_slice(b"\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0");
    let mut message = Vec::new();
    message.put_u32_le(u32::try_from(HEADER + FLAGS_AND_KIND + LENGTH + fields.len()).unwrap_or(u32::MAX));
    message.put_i32_le(REQUEST);
    message.put_i32_le(0);
    message.put_i32_le(OP_MSG);
    // No flags; a section of one document.
    message.put_slice(b"\0\0\0\0\0");
    message.put_u32_le(u32::try_from(LENGTH + fields.len()).unwrap_or(u32::MAX));
    message.put_slice(&fields);
    message
}

/// The relevant fields of the response to `hello`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Hello {
    ok: bool,
    error: Option<i32>,
    text: Option<String>,
    role: Option<&'static str>,
    max_wire_version: Option<i32>,
}

impl Hello {
    fn of(document: &Document<'_>) -> Self {
        let is = |name| document.is_true(name);
        let roles = [
            (document.text("msg") == Some(b"isdbgrid"), "mongos"),
            (is("isWritablePrimary") || is("ismaster"), "primary"),
            (is("secondary"), "secondary"),
            (is("arbiterOnly"), "arbiter"),
        ];
        Self {
            ok: is("ok"),
            error: document.number("code"),
            text: document.text("errmsg").map(text),
            role: roles.iter().find_map(|(holds, role)| holds.then_some(*role)),
            max_wire_version: document.number("maxWireVersion"),
        }
    }

    /// Returns whether another command would not have another result.
    fn is_final(&self) -> bool {
        self.ok || self.has_error(&LOGIN_ERRORS) || self.has_error(&NOT_SERVING)
    }

    fn has_error(&self, codes: &[i32]) -> bool {
        self.error.is_some_and(|code| codes.contains(&code))
    }

    fn found(self) -> Result<ServiceReply, ConversationError> {
        if !self.ok && self.has_error(&LOGIN_ERRORS) {
            return Ok(ServiceReply::default());
        }
        if !self.ok {
            return Err(ConversationError::Rejected(
                self.text.unwrap_or_else(|| "its response to hello is not ok".to_owned()),
            ));
        }
        let Some(role) = self.role else {
            return Err(ConversationError::Rejected("it is neither primary, secondary, arbiter nor mongos".to_owned()));
        };
        let version = self.max_wire_version.map(|version| version.to_string());
        Ok(ServiceReply { version, role: Some(role.to_owned()) })
    }
}

fn hello(buffered: &[u8]) -> Parsed<Hello> {
    frame(buffered, HEADER, size).and_then(|message| {
        let mut rest = message.get(HEADER..).unwrap_or_default();
        // Flags above the sixteenth can be ignored.
        Malformed::unless(rest.try_get_u16_le()? == 0, "it has unexpected flags")?;
        rest.try_get_u16_le()?;
        Malformed::unless(rest.try_get_u8()? == 0, "it is not a single document")?;
        Ok(Hello::of(&Document::read(rest)?))
    })
}

/// Reads the length of a response to [`request`] from its header.
fn size(mut head: &[u8]) -> Result<usize, Malformed> {
    let size = length(head.try_get_i32_le()?);
    head.try_get_i32_le()?;
    Malformed::unless(head.try_get_i32_le()? == REQUEST, "it responds to another request")?;
    Malformed::unless(head.try_get_i32_le()? == OP_MSG, "it is not an OP_MSG")?;
    Ok(size)
}

const OP_MSG: i32 = 2013;

const REQUEST: i32 = i32::from_be_bytes(*b"port");

/// The errors of a server that requires a login: unauthorized, authentication failed
/// (<https://www.mongodb.com/docs/manual/reference/error-codes/>).
const LOGIN_ERRORS: [i32; 2] = [13, 18];

/// The errors of a server that stops or recovers: shutdown in progress, primary stepped down, not writable primary,
/// interrupted at shutdown or due to a change of state, not primary or secondary.
const NOT_SERVING: [i32; 6] = [91, 189, 10107, 11600, 11602, 13436];

/// Length of a header: length, number, number of the request, operation.
const HEADER: usize = 16;

const FLAGS_AND_KIND: usize = 5;

/// Size of the length before a document.
const LENGTH: usize = 4;

#[cfg(test)]
mod tests;
