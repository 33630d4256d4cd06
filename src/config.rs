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

use std::path::Path;
use std::sync::Arc;

pub use self::file_uses::{Required, Unreadable};
pub use self::keys::schema::{SettingKey, ValueKind, schema, setting_keys};
use self::problems::Problems;
pub use self::problems::path::Position;
use self::problems::positions::Positions;
pub use self::problems::{Diagnostic, LoadError};
pub use self::single::{ProbeRequest, SingleTarget, single_target};
pub use self::sources::{
    BuiltTargets, Discovered, HttpSource, Records, Source, SourceKind, discovered, discovered_json,
};
pub use self::targets::discovered::DiscoveryContext;
pub use self::yaml::redacted::RedactedConfig;
use self::yaml::{Node, SyntaxError};
use crate::options::{HistogramOptions, Limits, ResolverOptions};
use crate::target::{Group, Labels, Target};

mod compile;
mod file;
mod file_uses;
mod groups;
mod keys;
mod levels;
mod modules;
mod problems;
mod single;
mod sources;
mod targets;
mod yaml;

/// Reads a configuration file. `environment` returns the variables that global labels can contain; `files` reads each
/// required file once, after everything else.
pub fn load(
    path: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
    files: impl FnMut(Required<'_>) -> Result<(), Unreadable>,
) -> Result<Config, LoadError> {
    parse(&file::read(path)?, path, environment, files)
}

/// Reads a configuration from text. Messages name it `path`, and its paths are relative to the folder of `path`.
pub fn parse(
    text: &str,
    path: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
    files: impl FnMut(Required<'_>) -> Result<(), Unreadable>,
) -> Result<Config, LoadError> {
    let problems = Problems::default();
    let (config, uses) = compile::config(document(text, path)?, folder(path), environment, problems.document());
    uses.read(files, &problems);
    let warnings = problems.take_warnings(path, text);
    problems.finish(Some(path), text, Some(Config { warnings, ..config }))
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
        Ok(other) => refuse(Positions::read(text).start(), format!("is {other}, not a mapping of keys; {START}")),
        Err(SyntaxError { position, cause }) => refuse(position, cause.to_string()),
    }
}

const START: &str = "it needs at least `targets:` with a line like `- tcp://host:443`";

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
    /// How names are resolved.
    pub dns: ResolverOptions,
    /// The discovery sources, in the order of the file.
    pub discovery: Vec<Source>,
    /// What the targets of these sources depend on.
    pub discovery_context: Arc<DiscoveryContext>,
    /// The configuration without its secrets.
    pub redacted: RedactedConfig,
    /// Settings that work but may be a mistake, in the order of the file.
    pub warnings: Vec<Diagnostic>,
}

#[cfg(test)]
mod tests;
