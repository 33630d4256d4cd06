//! The parameters of a completed handshake, named as in the IANA registry.

use std::sync::Arc;

use rustls::{CipherSuite, ClientConnection, ProtocolVersion};

use crate::outcome::Session;

/// Reads the parameters of a connection.
pub(super) fn session(connection: &ClientConnection) -> Session {
    let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
    let group = connection
        .negotiated_key_exchange_group()
        .and_then(|group| group.name().as_str());
    let alpn = connection.alpn_protocol().and_then(|name| str::from_utf8(name).ok());
    Session {
        version: connection.protocol_version().map_or(UNKNOWN, version),
        cipher: suite.map_or(UNKNOWN, cipher),
        key_exchange: group.unwrap_or(UNKNOWN),
        alpn: alpn.map(Arc::from),
    }
}

fn version(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::TLSv1_2 => "TLS 1.2",
        ProtocolVersion::TLSv1_3 => "TLS 1.3",
        _ => UNKNOWN,
    }
}

/// Returns the name of a suite. For TLS 1.3, those of rustls contain the version and those of the registry do not.
fn cipher(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        suite => suite.as_str().unwrap_or(UNKNOWN),
    }
}

/// The name of an unknown parameter.
const UNKNOWN: &str = "unknown";
