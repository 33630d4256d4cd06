//! Discovery: where targets come from besides the file, and what sources say of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::node::{Node, SyntaxError};
use crate::config::place::Position;
use crate::config::quote::OneLine;
use crate::target::{HostName, Target, TlsSettings};

/// A source of targets.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Source {
    /// What it is called in metrics and logs: `file:sd/*.json`, `http:https://cmdb.internal/sd`,
    /// `dns:SRV:_postgres._tcp.internal`, `dns:A:web.internal:443`. No two sources have the same.
    pub name: Arc<str>,
    /// Where it looks.
    pub kind: SourceKind,
    /// How often it looks.
    pub refresh: Duration,
}

/// Where a source looks.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum SourceKind {
    /// A name that is asked for.
    Dns {
        /// The name.
        name: HostName,
        /// What is asked for.
        records: Records,
    },
    /// Files whose path matches; in the last part `*` stands for any characters, `?` for one.
    File {
        /// The pattern, absolute or relative to the working directory.
        pattern: PathBuf,
    },
    /// An address that answers as Prometheus' `http_sd`.
    Http(HttpSource),
}

/// An address that is asked for targets.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct HttpSource {
    /// `http` or `https`, without user and password.
    pub url: String,
    /// Headers whose values are the contents of files, for secrets; names are valid ones in lower case.
    pub headers_files: Vec<(String, PathBuf)>,
    /// How TLS is spoken, with `https`.
    pub tls: TlsSettings,
}

/// The kinds of records that a name is asked for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Records {
    /// IPv4 addresses, each with this port.
    A(u16),
    /// IPv6 addresses, each with this port.
    Aaaa(u16),
    /// Hosts and ports (RFC 2782).
    Srv,
}

/// What a source says of one target or several, not yet checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Discovered(pub(super) Node);

impl Discovered {
    /// A host with a port, as DNS tells it.
    pub fn address(address: String) -> Self {
        Self(Node::Text(address.into()))
    }
}

/// What a source's words have come to.
#[derive(Clone, Debug, Default)]
pub struct Made {
    /// The targets, each valid in itself.
    pub targets: Vec<Arc<Target>>,
    /// What was left out, each with its reason, in a line for the log.
    pub invalid: Vec<String>,
}

/// What a text says that a source gave: a list, in JSON or YAML, of targets as a configuration has them and of groups as
/// Prometheus' file_sd and http_sd have them. The error is one line.
///
/// An entry that is neither is found out when targets are made of it, and leaves the others alone.
pub fn discovered(text: &str) -> Result<Vec<Discovered>, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("has more than {} MiB", MAX_BYTES >> 20));
    }
    let node = match Node::parse_json(text) {
        Some(node) => node,
        None => Node::parse(text).map_err(|error| OneLine(&syntax(&error)).to_string())?,
    };
    match node {
        Node::List(items) => Ok(items.into_iter().map(Discovered).collect()),
        Node::Null => Err("is empty; expected a list of targets, which is [] where there are none".to_owned()),
        other => Err(format!("is {other}; expected a list of targets")),
    }
}

fn syntax(SyntaxError { position, cause }: &SyntaxError) -> String {
    match position {
        Some(Position { line, column }) => format!("line {line}, column {column}: {cause}"),
        None => cause.to_string(),
    }
}

/// As much as a configuration may have.
const MAX_BYTES: usize = 64 << 20;
