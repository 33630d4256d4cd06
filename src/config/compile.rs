//! From what is written to what can run: [`RawConfig`] becomes [`Config`], every problem noted on the way.
//!
//! Pure: it reads no file and no clock, and the environment only through the function that it is given.

use std::num::NonZeroU32;
use std::path::Path;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use crate::config::file_uses::Profiles;
use crate::config::groups::Groups;
use crate::config::keys::read::{labels, list, mapping, unknown_keys, value};
use crate::config::keys::value::{Given, List, Named};
use crate::config::keys::{RawConfig, RawDns, RawHistograms, RawLabels, RawLimits, RawSettings, RawSource, RawTargets};
use crate::config::levels::Layer;
use crate::config::modules::Modules;
use crate::config::problems::Problems;
use crate::config::problems::path::At;
use crate::config::problems::text::{quoted, suggestion};
use crate::config::sources::read::Sources;
use crate::config::targets::Targets;
use crate::config::targets::builder::Maker;
use crate::config::targets::discovered::Blueprint;
use crate::config::yaml::{Node, duplicate_keys};
use crate::config::{Config, Shown};
use crate::duration;
use crate::histogram::Buckets;
use crate::options::{HistogramOptions, Limits, ResolverOptions};
use crate::outcome::Phase;
use crate::target::{Group, Labels, Target};

/// A configuration without its targets, and the targets as they are written.
pub(super) struct Compiled {
    pub(super) labels: Labels,
    pub(super) modules: Modules,
    pub(super) groups: Groups,
    pub(super) histograms: HistogramOptions,
    pub(super) limits: Limits,
    pub(super) dns: ResolverOptions,
    folder: Arc<Path>,
    /// The targets, nothing where they are no list.
    pub(super) entries: Option<Vec<Node>>,
    /// The sources of further targets, nothing where there are none or they are no list.
    discovery: Option<List<RawSource>>,
    /// Whether the targets are all that there will be.
    growth: Growth,
}

/// Whether targets are added besides those of the file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Growth {
    Closed,
    ByDiscovery,
}

impl Growth {
    /// By these sources, though they may be wrong.
    fn by(discovery: &Given<List<RawSource>>) -> Self {
        match discovery {
            Given::Nothing => Self::Closed,
            Given::Value(List(sources)) if sources.is_empty() => Self::Closed,
            Given::Value(_) | Given::Wrong(_) => Self::ByDiscovery,
        }
    }
}

/// Compiles a whole document, and tells what its targets need of files. Paths are relative to `folder`.
pub(super) fn config(
    document: Node,
    folder: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
    problems: &mut Problems,
) -> (Config, Profiles) {
    let shown = Shown::of(&document);
    let mut compiled = Compiled::new(document, folder, environment, problems);
    let entries = compiled.entries.take();
    let discovery = compiled.discovery.take();
    let mut targets = compiled.targets();
    let at = At::Root.key("targets");
    if compiled.growth == Growth::Closed && entries.as_ref().is_some_and(Vec::is_empty) {
        problems.add(at, "is missing or empty, so there is nothing to probe; add a line like `- tcp://host:443`");
    }
    for (index, node) in entries.into_iter().flatten().enumerate() {
        targets.add(node, at.item(index), problems);
    }
    if compiled.growth == Growth::Closed {
        targets.check_members(problems);
    }
    let (targets, groups, mut profiles) = targets.finish(problems);
    let sources = discovery.unwrap_or_default();
    let sources = Sources::read(sources, At::Root.key("discovery"), &compiled.modules, &mut profiles, problems);
    (Config { shown, ..compiled.finish(targets, groups, sources) }, profiles)
}

impl Compiled {
    /// Compiles all but the targets.
    pub(super) fn new(
        document: Node,
        folder: &Path,
        environment: &dyn Fn(&str) -> Option<String>,
        problems: &mut Problems,
    ) -> Self {
        let root = At::Root;
        duplicate_keys(&document, root, problems);
        let raw: RawConfig = mapping(Given::read(document), root, problems);
        let growth = Growth::by(&raw.discovery);
        top_level_unknown_keys(&raw.unknown, problems);
        let labels = global_labels(raw.labels, root.key("labels"), environment, problems);
        let defaults =
            Layer::read(mapping(raw.defaults, root.key("defaults"), problems), root.key("defaults"), problems);
        let modules = value(raw.modules, root.key("modules"), problems).unwrap_or(Named(Vec::new()));
        let groups = value(raw.groups, root.key("groups"), problems).unwrap_or(Named(Vec::new()));
        let groups = Groups::read(groups, root.key("groups"), &labels, problems);
        let modules = Modules::read(defaults, modules, root.key("modules"), &groups, problems);
        Self {
            histograms: histograms(raw.histograms, root.key("histograms"), problems),
            limits: limits(raw.limits, root.key("limits"), problems),
            dns: dns(raw.dns, root.key("dns"), problems),
            entries: match raw.targets {
                Given::Nothing => Some(Vec::new()),
                given => value(given, root.key("targets"), problems).map(|RawTargets(entries)| entries),
            },
            discovery: value(raw.discovery, root.key("discovery"), problems),
            growth,
            labels,
            modules,
            groups,
            folder: folder.into(),
        }
    }

    /// The configuration with these targets and sources, not to be shown yet.
    fn finish(self, targets: Vec<Arc<Target>>, groups: Vec<Arc<Group>>, sources: Sources) -> Config {
        let Self { labels, modules, groups: known_groups, histograms, limits, dns, folder, .. } = self;
        let Sources { all: discovery, layers, .. } = sources;
        let blueprint = Blueprint {
            labels: labels.clone(),
            modules,
            groups: known_groups,
            sources: layers,
            folder,
            limit: limits.targets,
        };
        let (blueprint, shown) = (Arc::new(blueprint), Shown::default());
        Config { labels, targets, groups, histograms, limits, dns, discovery, blueprint, shown, warnings: Vec::new() }
    }

    /// None of the targets yet, but all that they refer to.
    pub(super) fn targets(&self) -> Targets<'_> {
        Targets::new(self.maker(), self.limits.targets)
    }

    /// What makes targets out of entries.
    pub(super) fn maker(&self) -> Maker<'_> {
        Maker::new(&self.labels, &self.modules, self.groups.clone(), self.folder.clone())
    }
}

/// Unknown keys of the document; a setting that stands here has only lost its level.
fn top_level_unknown_keys(unknown: &[Box<str>], problems: &mut Problems) {
    for key in unknown {
        let is_near = suggestion(key, RawConfig::keys()).is_some();
        match suggestion(key, RawSettings::keys()).filter(|_| !is_near) {
            Some(setting) => {
                let message = format!("unknown key here; `{setting}` belongs under `defaults`, a module or a target");
                problems.add_key(At::Root.key(key), 0, message);
            }
            None => unknown_keys(slice::from_ref(key), At::Root, RawConfig::keys, problems),
        }
    }
}

fn histograms(raw: Given<RawHistograms>, at: At<'_>, problems: &mut Problems) -> HistogramOptions {
    let raw = mapping(raw, at, problems);
    unknown_keys(&raw.unknown, at, RawHistograms::keys, problems);
    let default = HistogramOptions::default();
    let before = problems.count();
    let bounds = list(raw.buckets, at.key("buckets"), problems).filter(|_| problems.count() == before);
    let buckets =
        bounds.map(Buckets::try_new).transpose().map_err(|error| problems.add(at.key("buckets"), error.to_string()));
    let phases = list(raw.phases, at.key("phases"), problems).unwrap_or(default.phases);
    for (index, phase) in phases.iter().enumerate() {
        if phases.iter().take(index).any(|earlier| earlier == phase) {
            let message = format!("names `{}` a second time; remove one of the two", phase.as_str());
            problems.add(at.key("phases").item(index), message);
        }
    }
    HistogramOptions {
        buckets: buckets.ok().flatten().unwrap_or(default.buckets),
        native: value(raw.native, at.key("native"), problems).unwrap_or(default.native),
        phases: Phase::ALL.into_iter().filter(|phase| phases.contains(phase)).collect(),
    }
}

fn limits(raw: Given<RawLimits>, at: At<'_>, problems: &mut Problems) -> Limits {
    let raw = mapping(raw, at, problems);
    unknown_keys(&raw.unknown, at, RawLimits::keys, problems);
    let default = Limits::default();
    let mut limit = |given, key, default| match value(given, at.key(key), problems) {
        Some(limit) => NonZeroU32::new(limit),
        None => default,
    };
    Limits {
        targets: limit(raw.targets, "targets", default.targets),
        in_flight: limit(raw.in_flight, "in_flight", default.in_flight),
        per_host: limit(raw.per_host, "per_host", default.per_host),
        per_second: limit(raw.per_second, "per_second", default.per_second),
    }
}

fn dns(raw: Given<RawDns>, at: At<'_>, problems: &mut Problems) -> ResolverOptions {
    let raw = mapping(raw, at, problems);
    unknown_keys(&raw.unknown, at, RawDns::keys, problems);
    let default = ResolverOptions::default();
    let timeout = value(raw.timeout, at.key("timeout"), problems).unwrap_or(default.timeout);
    if timeout.is_zero() || timeout > MAX_DNS_TIMEOUT {
        let timeout = duration::display(timeout);
        problems.add(at.key("timeout"), format!("{timeout} is out of range; the wait for one answer is 1ms to 1m"));
    }
    let tries = value(raw.tries, at.key("tries"), problems).unwrap_or(default.tries);
    if tries > MAX_DNS_TRIES {
        problems.add(at.key("tries"), format!("{tries} is out of range; a query is sent 1 to {MAX_DNS_TRIES} times"));
    }
    ResolverOptions { timeout, tries }
}

/// The global labels, with what the environment says in place of each `${NAME}`.
fn global_labels(
    given: Given<RawLabels>,
    at: At<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
    problems: &mut Problems,
) -> Labels {
    let mut labels = labels(given, at, problems);
    for (name, value) in &mut labels {
        match expanded(value, environment) {
            Ok(text) => *value = text,
            Err(error) => problems.add(at.key(name.as_str()), error.to_string()),
        }
    }
    Labels::default().overlaid(&labels)
}

/// Why a value cannot be completed from the environment.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
enum ExpandError {
    #[error("has {} where a variable's name was due; write ${{NAME}} with letters, digits and underscores", quoted(.0))]
    NameMalformed(String),
    #[error("has `${{` without a `}}` behind it; an environment variable is written ${{NAME}}")]
    Unclosed,
    #[error("takes the environment variable `{0}`, which is not set; set it or write the value itself")]
    Unset(String),
}

/// The text with each `${NAME}` replaced. Any other `$` stands for itself, `$$` for two.
fn expanded(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, ExpandError> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, reference)) = rest.split_once("${") {
        let (name, after) = reference.split_once('}').ok_or(ExpandError::Unclosed)?;
        if !is_variable_name(name) {
            return Err(ExpandError::NameMalformed(name.to_owned()));
        }
        expanded.push_str(before);
        expanded.push_str(&environment(name).ok_or_else(|| ExpandError::Unset(name.to_owned()))?);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn is_variable_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

const MAX_DNS_TIMEOUT: Duration = Duration::from_mins(1);
const MAX_DNS_TRIES: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_in_braces_is_replaced_and_once() {
        let environment = |name: &str| match name {
            "POD" => Some("web-1".to_owned()),
            "NESTED" => Some("${POD}".to_owned()),
            _ => None,
        };
        for (text, expected) in [
            ("", Ok("")),
            ("a ${POD} b${POD}", Ok("a web-1 bweb-1")),
            ("${NESTED}", Ok("${POD}")),
            ("$", Ok("$")),
            ("$$ $POD $5 {}", Ok("$$ $POD $5 {}")),
            ("$${POD}", Ok("$web-1")),
            ("${pod}", Err(ExpandError::Unset("pod".into()))),
            ("${POD", Err(ExpandError::Unclosed)),
            ("${}", Err(ExpandError::NameMalformed(String::new()))),
            ("${a-b}", Err(ExpandError::NameMalformed("a-b".into()))),
        ] {
            assert_eq!(expanded(text, &environment), expected.map(str::to_owned), "{text}");
        }
    }
}
