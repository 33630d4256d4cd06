//! Discovery: where targets come from besides the file, and what sources say of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::node::Node;
use crate::target::{HostName, Target, TlsSettings};

/// A source of targets.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Source {
    /// What it is called in metrics and logs: `file:sd/*.json`, `http:https://cmdb.internal/sd`,
    /// `dns:SRV:_postgres._tcp.internal`. No two sources have the same.
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
pub struct Discovered(Node);

impl Discovered {
    /// A host with a port, as DNS tells it.
    pub fn address(address: String) -> Self {
        Self(Node::Text(address.into()))
    }
}

/// PLACEHOLDER: one address a line, in place of what reads lists; to be dropped where that is merged.
pub fn discovered(text: &str) -> Result<Vec<Discovered>, String> {
    if text.contains('{') && !text.contains('}') {
        return Err("is cut off".to_owned());
    }
    let lines = text.lines().filter(|line| line.trim() != "[]");
    Ok(lines.map(|line| Discovered::address(line.to_owned())).collect())
}

/// What a source's words have come to.
#[derive(Clone, Debug, Default)]
pub struct Made {
    /// The targets, each valid in itself.
    pub targets: Vec<Arc<Target>>,
    /// What was left out, each with its reason, in a line for the log.
    pub invalid: Vec<String>,
}
