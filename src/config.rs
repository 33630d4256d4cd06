//! The configuration: one YAML file becomes a [`Config`] that the daemon can run on.
//!
//! ```text
//! file --> text --> node (what YAML says) --> raw (what the keys say) --> compile (what can run) --> Config
//!                                                 problems by key --> locate (their lines) --> LoadError
//! ```
//!
//! A file is used as a whole or not at all; all its problems are reported together. `defaults`, modules and targets
//! are levels, of which the nearest wins, leaf by leaf; labels merge, lists replace. A key without a value (null)
//! counts as left out. Anchors, aliases and merge keys (`<<`) are YAML's and work. The files that the configuration
//! names are not read here: once it is good by itself, whoever loads it is asked to read them, and what is wrong with one
//! becomes a problem of the key that names it.

use std::path::Path;
use std::sync::Arc;

pub use self::file_uses::{Needed, Unusable};
pub use self::keys::schema::{SettingKey, ValueKind, schema, setting_keys};
use self::problems::Problems;
pub use self::problems::path::Position;
use self::problems::positions::Places;
pub use self::problems::{Complaint, LoadError};
pub use self::single::{OneTarget, Wanted, one_target};
pub use self::sources::{Discovered, HttpSource, Made, Records, Source, SourceKind, discovered, discovered_json};
pub use self::targets::discovered::Blueprint;
pub use self::yaml::redacted::Shown;
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

/// Reads a configuration file. `environment` tells the variables that global labels may take; `files` reads what is
/// needed of files, and is asked once for each, after all else was found good.
pub fn load(
    path: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
    files: impl FnMut(Needed<'_>) -> Result<(), Unusable>,
) -> Result<Config, LoadError> {
    parse(&file::read(path)?, path, environment, files)
}

/// Reads a configuration from text; `path` is what messages call it, and paths in it are relative to that one's folder.
pub fn parse(
    text: &str,
    path: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
    files: impl FnMut(Needed<'_>) -> Result<(), Unusable>,
) -> Result<Config, LoadError> {
    let mut problems = Problems::default();
    let (config, profiles) = compile::config(document(text, path)?, folder(path), environment, &mut problems);
    profiles.read(files, &mut problems);
    let warnings = problems.take_warnings(path, text);
    problems.finish(Some(path), text, Some(Config { warnings, ..config }))
}

/// What the paths in a file are relative to.
fn folder(file: &Path) -> &Path {
    file.parent().unwrap_or_else(|| Path::new(""))
}

/// The mapping that a configuration is.
fn document(text: &str, path: &Path) -> Result<Node, LoadError> {
    let refuse = |position, message| Err(LoadError::of_file(path, position, message));
    match Node::parse(text) {
        Ok(document @ Node::Mapping(_)) => Ok(document),
        Ok(Node::Null) => refuse(None, format!("is empty; {START}")),
        Ok(other) => refuse(Places::survey(text).start(), format!("is {other}, not a mapping of keys; {START}")),
        Err(SyntaxError { position, cause }) => refuse(position, cause.to_string()),
    }
}

/// What somebody who has nothing yet should do.
const START: &str = "it needs at least `targets:` with a line like `- tcp://host:443`";

/// A whole configuration, valid in itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Labels of every series.
    pub labels: Labels,
    /// Every target, in the order of the file.
    pub targets: Vec<Arc<Target>>,
    /// Every group, in the order of the file.
    pub groups: Vec<Arc<Group>>,
    /// What histograms are kept.
    pub histograms: HistogramOptions,
    /// What bounds probing.
    pub limits: Limits,
    /// How name servers are asked.
    pub dns: ResolverOptions,
    /// Where further targets come from, in the order of the file.
    pub discovery: Vec<Source>,
    /// What makes targets of what these say.
    pub blueprint: Arc<Blueprint>,
    /// The same to be shown.
    pub shown: Shown,
    /// What works and may still be a mistake, in the order of the file.
    pub warnings: Vec<Complaint>,
}

#[cfg(test)]
mod tests;
