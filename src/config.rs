//! The configuration: one YAML file becomes a [`Config`] that the daemon can run on.
//!
//! ```text
//! file --> text --yaml--> Node --keys--> typed settings --levels, targets--> Config
//!                                 problems by path --positions--> LoadError
//! ```
//!
//! A file is used as a whole or not at all; all its problems are reported together. `defaults`, modules and targets are
//! levels, of which the nearest wins, key by key; labels merge, lists replace. A key without a value (null) is absent.
//! Anchors, aliases and merge keys (`<<`) of YAML work. The files that a configuration names are not read here, but by
//! the caller: an error becomes a problem of the key that names the file.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::effective::{EffectiveEntry, EffectiveSetting, Explainer, Origin};
use self::file_uses::FileUses;
pub use self::file_uses::{Required, Unreadable};
pub use self::foreign::{ForeignFile, ForeignValue};
pub use self::keys::schema::{SettingKey, ValueKind, schema, setting_keys, top_level_keys};
pub use self::keys::value::{HttpScheme, HttpUrl, HttpUrlError};
pub use self::on_demand::{OnDemand, OnDemandError};
use self::problems::Problems;
pub use self::problems::path::Position;
use self::problems::positions::Positions;
pub use self::problems::{CheckedKey, Diagnostic, LoadError};
pub use self::single::{ProbeRequest, SingleTarget, TargetLookup};
pub use self::sources::{
    Discovered, EntriesError, HttpSource, Records, Source, SourceKind, discovered, discovered_json,
};
pub use self::targets::discovered::{Candidate, Candidates, Capacity, DiscoveredTargets, DiscoveryContext, EntryError};
pub use self::yaml::redacted::RedactedConfig;
use self::yaml::{Node, SyntaxError};
use crate::files::{self, ReadError, SpecialFile};
use crate::options::{HistogramOptions, Limits, PublicOptions, ResolverOptions};
use crate::target::{AllowList, Audit, Group, Labels, Target};

mod audits;
mod compile;
mod effective;
mod file_uses;
mod foreign;
mod groups;
mod keys;
mod levels;
mod modules;
mod on_demand;
mod problems;
mod single;
mod sources;
mod targets;
pub mod web;
mod yaml;

/// Reads a configuration file. `environment` returns the variables that global labels can contain.
pub fn load(path: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Result<Draft<'static, Config>, LoadError> {
    draft(Cow::Owned(read(path, files::read_any, CONFIG_FLAG)?), path, environment)
}

/// Reads the text of a configuration that must be a regular file.
pub fn read_regular(path: &Path) -> Result<String, LoadError> {
    read(path, files::read, CONFIG_FLAG)
}

/// Reads a configuration from text. Messages name it `path`, and its paths are relative to the folder of `path`.
pub fn parse<'a>(
    text: impl Into<Cow<'a, str>>,
    path: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Draft<'a, Config>, LoadError> {
    draft(text.into(), path, environment)
}

/// A valid configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Labels of every series.
    pub labels: Labels,
    /// Every target, in the order of the file.
    pub targets: Vec<Arc<Target>>,
    /// Every group, in the order of the file.
    pub groups: Vec<Arc<Group>>,
    /// The histograms of handshakes.
    pub histograms: HistogramOptions,
    /// The limits of probing.
    pub limits: Limits,
    /// Resolver options.
    pub dns: ResolverOptions,
    /// The hosts that clients of `/probe` may name; `None` if it is disabled.
    pub probe_endpoint: Option<AllowList>,
    /// The public page, if there is one.
    pub public: Option<Arc<PublicOptions>>,
    /// The port audits, in the order of the file.
    pub audits: Vec<Arc<Audit>>,
    /// The discovery sources, in the order of the file.
    pub discovery: Vec<Source>,
    /// Everything that the targets of these sources depend on.
    pub discovery_context: Arc<DiscoveryContext>,
    /// The configuration without its secrets.
    pub redacted: RedactedConfig,
    /// Settings that are valid but may be a mistake, in the order of the file.
    pub warnings: Vec<Diagnostic>,
}

/// A value whose files have not been read yet: the caller reads what is [`required`](Self::required) and calls
/// [`finish`](Self::finish) with the errors, which are reported together with all other problems.
#[derive(Debug)]
pub struct Draft<'a, T> {
    /// `None` if a problem leaves no value.
    value: Option<T>,
    files: FileUses,
    problems: Problems,
    text: Cow<'a, str>,
    /// The path of the text; `None` without a configuration.
    path: Option<PathBuf>,
}

impl<T> Draft<'_, T> {
    /// The text that the value was read from; empty without a configuration.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Everything that must be read from files, each once.
    pub fn required(&self) -> impl Iterator<Item = Required> {
        self.files.required()
    }

    /// The value, or every problem, among them these errors of files.
    pub fn finish(self, unreadable: &[Unreadable]) -> Result<T, LoadError> {
        for unreadable in unreadable {
            self.files.refuse(unreadable, &self.problems);
        }
        self.problems.finish(self.path.as_deref(), &self.text, self.value)
    }
}

fn draft<'a>(
    text: Cow<'a, str>,
    path: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Draft<'a, Config>, LoadError> {
    let problems = Problems::default();
    let (config, files) = compile::config(document(&text, path)?, folder(path), environment, problems.document());
    let warnings = problems.take_warnings(path, &text);
    let value = Some(Config { warnings, ..config });
    Ok(Draft { value, files, problems, text, path: Some(path.to_owned()) })
}

/// Reads the text of a file: UTF-8, at most 64 MiB. Every error names the file; `flag` sets its path.
fn read(path: &Path, read: fn(&Path, u64) -> Result<Vec<u8>, ReadError>, flag: &str) -> Result<String, LoadError> {
    let bytes = read(path, MAX_BYTES).map_err(|error| LoadError::of_file(path, None, explain(&error, flag)))?;
    String::from_utf8(bytes).map_err(|error| {
        let (valid, rest) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
        let byte = rest.first().copied().unwrap_or_default();
        let message = format!("has the byte 0x{byte:02x}, which is not valid UTF-8; save the file as UTF-8");
        LoadError::of_file(path, Some(Position::behind(&String::from_utf8_lossy(valid))), message)
    })
}

/// Describes an error, with its fix.
fn explain(error: &ReadError, flag: &str) -> String {
    match error {
        ReadError::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            format!("does not exist; create it, or set `{flag}`")
        }
        ReadError::Special(SpecialFile::Directory) => "is a directory; must be a file".to_owned(),
        ReadError::TooLarge { .. } => {
            format!("is larger than the limit of {} MiB", MAX_BYTES >> 20)
        }
        ReadError::Io(_) | ReadError::Special(_) => error.to_string(),
    }
}

/// The folder that paths in a file are relative to.
fn folder(file: &Path) -> &Path {
    file.parent().unwrap_or_else(|| Path::new(""))
}

/// The document of a text, which must be a mapping.
fn document(text: &str, path: &Path) -> Result<Node, LoadError> {
    let refuse = |position, message| Err(LoadError::of_file(path, position, message));
    match Node::parse(text) {
        Ok(document @ Node::Mapping(_)) => Ok(document),
        Ok(Node::Null) => refuse(None, format!("is empty; {START}")),
        Ok(other) => refuse(Positions::read(text).start(), format!("is {other}; must be a mapping; {START}")),
        Err(SyntaxError { position, cause }) => refuse(position, cause.to_string()),
    }
}

const START: &str = "add `targets:` with a line like `- tcp://host:443`";
/// The flag with the path of the configuration.
const CONFIG_FLAG: &str = "--config.file";
/// 200,000 targets with ten settings each fit.
const MAX_BYTES: u64 = 64 << 20;

#[cfg(test)]
mod tests;
