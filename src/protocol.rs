//! The application protocols: conversations that show that a service runs, speaks its protocol and accepts clients.
//!
//! ```text
//! scheme of a URL --> Service --> Protocol --begin--> Conversation --upgrade, exchange--> ServiceReply
//!                     (data)      (registry, below)   (on a Wire)                         or ConversationError
//! ```
//!
//! Each protocol is one file with its [`Service`], its messages and its parsers; a new protocol is a file and a line in
//! [`ALL`]. It does what the usual liveness tool of the protocol does, without credentials and with as few log lines of
//! the service as possible. A [`Wire`] hides sockets, TLS and time.
//!
//! Every response is hostile until parsed. A [`Wire`] limits the number of bytes read. A parser checks each number
//! before it uses it, and rejects invalid bytes as soon as they arrive.
//!
//! Messages are parsed here, not by client libraries: those log in, keep connections and retry, but a probe needs only
//! one bounded exchange. HTTP/1 and HTTP/2 are exceptions.

use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{HeaderName, HeaderValue};
use async_trait::async_trait;

use self::wire::MAX_REPLY;
pub use self::wire::{ByteStream, ConversationError, Parsed, Wire};
use crate::outcome::{Response, ServiceFacts};
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
    /// Returns the names and ports.
    fn service(&self) -> &'static Service;

    /// Starts a conversation with one service.
    fn begin(&self, request: Request<'_>) -> Box<dyn Conversation>;

    /// Returns a warning about frequent probes, if some servers block clients because of them.
    fn caution(&self) -> Option<Caution> {
        None
    }
}

/// A reason not to probe a service too often. The texts are parts of a warning.
#[derive(Clone, Copy, Debug)]
pub struct Caution {
    /// The shortest safe interval.
    pub interval: Duration,
    /// The effect of a shorter interval.
    pub why: &'static str,
    /// The alternative to a longer interval.
    pub instead: &'static str,
}

/// The service of a conversation.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Host and port of the service, and the path if the protocol uses it.
    pub endpoint: &'a Endpoint,
    /// The address from which the connection comes.
    pub local_address: IpAddr,
}

impl Request<'_> {
    /// Returns the security of the service.
    pub const fn security(&self) -> Security {
        match self.endpoint.protocol {
            crate::target::Protocol::Service(_, security) => security,
            crate::target::Protocol::Tcp => Security::Plain,
            crate::target::Protocol::Tls => Security::Tls,
        }
    }
}

/// The conversation on one connection. State from before an upgrade to TLS is available within TLS.
#[async_trait]
pub trait Conversation: Debug + Send {
    /// Requests TLS. After `Ok` the handshake follows. Called at most once, before [`Self::exchange`], and only for
    /// protocols with [`Service::starttls_name`].
    async fn upgrade(&mut self, wire: &mut Wire<'_>) -> Result<(), ConversationError> {
        let _ = wire;
        Err(ConversationError::Refused("this protocol has no STARTTLS".to_owned()))
    }

    /// Makes the exchange and ends the session. `Ok` means that the service accepts clients.
    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError>;

    /// Returns the response that the exchange received, also if it failed.
    fn response(&self) -> Option<Response> {
        None
    }

    /// Returns the wrapping of the TLS handshake after an upgrade.
    fn wrapping(&self) -> Wrapping {
        Wrapping::None
    }
}

/// The packets that wrap the records of a TLS handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wrapping {
    /// No packets.
    None,
    /// PRELOGIN packets of TDS (MS-TDS section 2.2.6.5).
    Tds,
}

/// Facts that a service reported.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ServiceReply {
    /// A product or version, extracted with a fixed pattern; never a whole greeting.
    pub version: Option<String>,
    /// Its role, such as primary or leader.
    pub role: Option<String>,
}

impl ServiceReply {
    /// Adds the name of the protocol.
    pub fn of(self, service: &Service) -> ServiceFacts {
        ServiceFacts {
            protocol: service.name,
            version: self.version.unwrap_or_default(),
            role: self.role.unwrap_or_default(),
        }
    }
}

/// Registers protocols and the services in their files.
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

/// Starts a conversation with an HTTP server. `file_headers` are the headers whose values come from files.
pub fn begin_http(
    request: Request<'_>,
    settings: Arc<HttpSettings>,
    file_headers: Arc<[(HeaderName, HeaderValue)]>,
) -> Box<dyn Conversation> {
    http::begin(request, settings, file_headers)
}

/// Returns the protocol of a service; `None` if it is not registered.
pub fn of(service: &Service) -> Option<&'static dyn Protocol> {
    ALL.iter().find(|protocol| protocol.service() == service).copied()
}
