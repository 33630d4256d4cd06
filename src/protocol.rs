//! The application protocols: what to say so that a service shows that it is there, speaks and accepts clients.
//!
//! ```text
//! a URL's scheme --> Service --> Protocol --begin--> Conversation --upgrade, exchange--> ServiceReply, or ConversationError
//!                    (data)      (registry, below)   (on a Wire)
//! ```
//!
//! A protocol is one file: its [`Service`], what it says and how it takes the answers; a new one is that file and a
//! line in [`ALL`]. It does what the protocol's own liveness tool does, without credentials, and with as little noise
//! in the service's log as there can be. Sockets, TLS and time are not known here: a [`Wire`] has them.
//!
//! Every answer is hostile until parsed. A [`Wire`] bounds what is read; a parser takes nothing by a number from the
//! wire unchecked, and what contradicts the protocol is refused as soon as it is there.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{HeaderName, HeaderValue};
use async_trait::async_trait;

use self::wire::MAX_REPLY;
pub use self::wire::{ByteStream, ConversationError, Parsed, Wire};
use crate::outcome::ServiceFacts;
use crate::target::{Endpoint, HttpSettings, Schemes, Security, Service};

mod amqp;
mod cassandra;
mod dns;
mod frame;
mod ftp;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod greeting;
mod grpc;
mod http;
mod imap;
mod kafka;
mod ldap;
mod lines;
mod lmtp;
mod memcached;
mod minecraft;
mod mongodb;
mod mqtt;
mod mssql;
mod mysql;
mod nats;
mod nntp;
mod oracle;
mod pop3;
mod postgres;
mod rdp;
mod redis;
mod sieve;
mod smtp;
mod ssh;
#[cfg(test)]
mod testing;
mod vnc;
mod wire;
mod ws;
mod xmpp;
mod zookeeper;

/// An application protocol.
pub trait Protocol: Debug + Sync {
    /// Its names and ports.
    fn service(&self) -> &'static Service;

    /// What it says to one service.
    fn begin(&self, request: Request<'_>) -> Box<dyn Conversation>;

    /// How often its servers bear to be probed, where some hold it against whoever probes them.
    fn caution(&self) -> Option<Caution> {
        None
    }
}

/// Why servers should not be probed too often.
#[derive(Clone, Copy, Debug)]
pub struct Caution {
    /// The shortest interval that does no harm.
    pub interval: Duration,
    /// What may happen below it.
    pub why: &'static str,
    /// What can be done besides probing less often.
    pub instead: &'static str,
}

/// Whom a conversation is with.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Where the service is, and the path where the protocol has a use for one.
    pub endpoint: &'a Endpoint,
}

impl Request<'_> {
    /// How the service is secured.
    pub const fn security(&self) -> Security {
        match self.endpoint.protocol {
            crate::target::Protocol::Service(_, security) => security,
            crate::target::Protocol::Tcp => Security::Plain,
            crate::target::Protocol::Tls => Security::Tls,
        }
    }
}

/// What is said on one connection. What was learnt before TLS may serve within it.
#[async_trait]
pub trait Conversation: Debug + Send {
    /// Asks for TLS; good once the next byte is the handshake's. Called once and first, of protocols with
    /// [`Service::starttls_name`] alone.
    async fn upgrade(&mut self, wire: &mut Wire<'_>) -> Result<(), ConversationError> {
        let _ = wire;
        Err(ConversationError::Refused("this protocol cannot ask for TLS".to_owned()))
    }

    /// The opening exchange and the goodbye; good if the service serves.
    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError>;

    /// How the TLS handshake after an upgrade is wrapped.
    fn wrapping(&self) -> Wrapping {
        Wrapping::None
    }
}

/// What stands around the records of a TLS handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wrapping {
    /// Nothing.
    None,
    /// PRELOGIN packets of TDS (MS-TDS section 2.2.6.5).
    Tds,
}

/// What a service said of itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ServiceReply {
    /// A product or version token, taken by a fixed pattern; a greeting is never one.
    pub version: Option<String>,
    /// What it is among its kind: primary, leader.
    pub role: Option<String>,
}

impl ServiceReply {
    /// These are the facts of a service.
    pub fn of(self, service: &Service) -> ServiceFacts {
        ServiceFacts {
            protocol: service.name,
            version: self.version.unwrap_or_default(),
            role: self.role.unwrap_or_default(),
        }
    }
}

/// Registers protocols, each with the service of its file.
macro_rules! registry {
    ($($file:ident::$protocol:ident,)*) => {
        /// Every protocol, in the order of the documentation.
        pub const ALL: &[&dyn Protocol] = &[$(&$file::$protocol),*];

        /// The schemes of all protocols.
        pub const SCHEMES: Schemes = Schemes(&[$(&$file::SERVICE),*]);
    };
}

registry! {
    http::Http,
    ws::Ws,
    grpc::Grpc,
    ssh::Ssh,
    ftp::Ftp,
    smtp::Smtp,
    imap::Imap,
    pop3::Pop3,
    ldap::Ldap,
    dns::Dns,
    postgres::Postgres,
    mysql::Mysql,
    redis::Redis,
    memcached::Memcached,
    mongodb::Mongodb,
    mssql::Mssql,
    oracle::Oracle,
    amqp::Amqp,
    kafka::Kafka,
    nats::Nats,
    rdp::Rdp,
    vnc::Vnc,
    minecraft::Minecraft,
    mqtt::Mqtt,
    zookeeper::Zookeeper,
    cassandra::Cassandra,
    lmtp::Lmtp,
    sieve::Sieve,
    nntp::Nntp,
    xmpp::Xmpp,
}

/// The service of [`begin_http`].
pub const HTTP: &Service = &http::SERVICE;

/// Begins a conversation with an HTTP server by these settings. `file_headers` are the headers whose values come from files.
pub fn begin_http(
    request: Request<'_>,
    settings: Arc<HttpSettings>,
    file_headers: Arc<[(HeaderName, HeaderValue)]>,
) -> Box<dyn Conversation> {
    http::begin(request, settings, file_headers)
}

/// The protocol of a service; none where it is not registered.
pub fn of(service: &Service) -> Option<&'static dyn Protocol> {
    ALL.iter().find(|protocol| protocol.service() == service).copied()
}
