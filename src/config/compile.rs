//! Compiles a document: the keys become a [`Config`], and every problem is reported.
//!
//! Reads no file and no clock, and the environment only through the function that it is given.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use crate::config::Config;
use crate::config::audits::Audits;
use crate::config::file_uses::FileUses;
use crate::config::groups::Groups;
use crate::config::keys::read::{Field, Items, Key, Mapping};
use crate::config::keys::value::LabelValues;
use crate::config::keys::{self, Configuration, Settings, Source};
use crate::config::levels::Level;
use crate::config::modules::Modules;
use crate::config::problems::At;
use crate::config::problems::text::{quoted, suggestion};
use crate::config::sources::read::Sources;
use crate::config::targets::FileTargets;
use crate::config::targets::builder::TargetBuilder;
use crate::config::targets::discovered::DiscoveryContext;
use crate::config::yaml::Node;
use crate::config::yaml::redacted::RedactedConfig;
use crate::options::{HistogramOptions, Limits, PublicOptions, ResolverOptions};
use crate::outcome::Phase;
use crate::target::{AllowList, Group, Labels, Target, TargetName};

/// A configuration whose targets and sources are not compiled yet.
pub(super) struct Compiled {
    pub(super) labels: Labels,
    pub(super) modules: Modules,
    pub(super) groups: Groups,
    pub(super) histograms: HistogramOptions,
    pub(super) limits: Limits,
    pub(super) dns: ResolverOptions,
    probe_endpoint: Option<AllowList>,
    public: Option<PublicOptions>,
    audits: Audits,
    folder: Arc<Path>,
    /// The entries of `targets`; `None` if they are not a list.
    pub(super) entries: Option<Vec<Node>>,
    discovery: Items<Source>,
    growth: Growth,
}

/// Whether more targets can join those of the file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Growth {
    ByDiscovery,
    Closed,
}

/// Compiles a document and its file uses. Paths are relative to `folder`.
pub(super) fn config(
    document: Node,
    folder: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
    at: At<'_>,
) -> (Config, FileUses) {
    let redacted = RedactedConfig::new(&document, &Configuration::secret_keys());
    let mut compiled = Compiled::new(document, folder, environment, at);
    let entries = compiled.entries.take();
    let discovery = std::mem::take(&mut compiled.discovery);
    let at_targets = at.key("targets");
    let needs_targets =
        compiled.growth == Growth::Closed && compiled.probe_endpoint.is_none() && compiled.audits == Audits::Absent;
    if needs_targets && entries.as_ref().is_some_and(Vec::is_empty) {
        at_targets.refuse("is missing or empty; add a line like `- tcp://host:443`, or a source under `discovery`");
    }
    let mut targets = compiled.targets();
    for (index, node) in entries.into_iter().flatten().enumerate() {
        targets.add(node, at_targets.item(index));
    }
    if compiled.growth == Growth::Closed {
        targets.check_members(at);
    }
    if let Some(public) = &compiled.public {
        targets.check_public(public, at);
        if compiled.growth == Growth::Closed {
            targets.check_public_match(public, at.key("public").key("match"));
        }
    }
    let (targets, groups, mut files) = targets.finish(at_targets);
    let sources = Sources::read(discovery, at.key("discovery"), &compiled.modules, &mut files);
    (compiled.finish(targets, groups, sources, redacted), files)
}

impl Compiled {
    /// Compiles everything but targets and sources.
    pub(super) fn new(
        mut document: Node,
        folder: &Path,
        environment: &dyn Fn(&str) -> Option<String>,
        at: At<'_>,
    ) -> Self {
        document.refuse_duplicate_keys(at);
        refuse_misplaced_settings(&mut document, at);
        let keys = Configuration::read(document, at).unwrap_or_default();
        let growth = match &keys.discovery {
            Field::Absent => Growth::Closed,
            Field::Valid(Items(sources)) if sources.is_empty() => Growth::Closed,
            Field::Valid(_) | Field::Invalid => Growth::ByDiscovery,
        };
        let labels = global_labels(&keys.labels.into_value().unwrap_or_default(), environment, at.key("labels"));
        let defaults = Level::new(keys.defaults.into_value().unwrap_or_default(), at.key("defaults"));
        let groups = Groups::read(keys.groups.into_value().unwrap_or_default(), at.key("groups"), &labels);
        let modules = keys.modules.into_value().unwrap_or_default();
        let modules = Modules::read(defaults, modules, at.key("modules"), &groups);
        Self {
            histograms: histograms(keys.histograms.into_value().unwrap_or_default(), at.key("histograms")),
            limits: limits(&keys.limits.into_value().unwrap_or_default()),
            dns: resolver_options(&keys.dns.into_value().unwrap_or_default()),
            probe_endpoint: probe_endpoint(
                keys.probe_endpoint.into_value().unwrap_or_default(),
                at.key("probe_endpoint"),
            ),
            public: match keys.public {
                Field::Absent => None,
                public => public.into_value().and_then(|keys| public_options(keys, at.key("public"))),
            },
            audits: Audits::read(keys.audit, at.key("audit")),
            entries: match keys.targets {
                Field::Absent => Some(Vec::new()),
                targets => targets.into_value().map(|keys::Targets(entries)| entries),
            },
            discovery: keys.discovery.into_value().unwrap_or_default(),
            growth,
            labels,
            modules,
            groups,
            folder: folder.into(),
        }
    }

    fn finish(
        self,
        targets: Vec<Arc<Target>>,
        groups: Vec<Arc<Group>>,
        sources: Sources,
        redacted: RedactedConfig,
    ) -> Config {
        let Self {
            labels,
            modules,
            groups: known_groups,
            histograms,
            limits,
            dns,
            probe_endpoint,
            public,
            audits,
            folder,
            ..
        } = self;
        let Sources { all: discovery, levels, .. } = sources;
        let discovery_context = Arc::new(DiscoveryContext {
            labels: labels.clone(),
            modules,
            groups: known_groups,
            sources: levels,
            folder,
            limit: limits.targets,
        });
        let warnings = Vec::new();
        Config {
            labels,
            targets,
            groups,
            histograms,
            limits,
            dns,
            probe_endpoint,
            public: public.map(Arc::new),
            audits: audits.into_all(),
            discovery,
            discovery_context,
            redacted,
            warnings,
        }
    }

    /// Collects targets; none yet.
    pub(super) fn targets(&self) -> FileTargets<'_> {
        FileTargets::new(self.builder(), self.limits.targets)
    }

    pub(super) fn builder(&self) -> TargetBuilder<'_> {
        TargetBuilder::new(&self.labels, &self.modules, self.groups.clone(), self.folder.clone())
    }
}

/// Reports and removes settings at the top level, which belong to a level of settings.
fn refuse_misplaced_settings(document: &mut Node, at: At<'_>) {
    let Node::Mapping(entries) = document else { return };
    let (known, settings) = (Configuration::keys(), Settings::keys());
    entries.retain(|(key, _)| {
        if suggestion(key, known.iter().copied()).is_some() {
            return true;
        }
        let Some(setting) = suggestion(key, settings.iter().copied()) else { return true };
        let message = format!("unknown top-level key; `{setting}` belongs in `defaults`, a module or a target");
        at.key(key).refuse_key(message);
        false
    });
}

fn histograms(keys: keys::Histograms, at: At<'_>) -> HistogramOptions {
    let default = HistogramOptions::default();
    let phases = keys.phases.into_value().unwrap_or(default.phases);
    for (index, phase) in phases.iter().enumerate() {
        if phases.iter().take(index).any(|earlier| earlier == phase) {
            let message = format!("duplicate phase `{}`; remove one", phase.as_str());
            at.key("phases").item(index).refuse(message);
        }
    }
    HistogramOptions {
        buckets: keys.buckets.into_value().unwrap_or(default.buckets),
        native: keys.native.into_value().unwrap_or(default.native),
        phases: Phase::ALL.into_iter().filter(|phase| phases.contains(phase)).collect(),
    }
}

fn limits(keys: &keys::Limits) -> Limits {
    let default = Limits::default();
    let limit = |field: &Field<u32>, default| field.get().map_or(default, |limit| NonZeroU32::new(*limit));
    Limits {
        targets: limit(&keys.targets, default.targets),
        in_flight: limit(&keys.in_flight, default.in_flight),
        per_host: limit(&keys.per_host, default.per_host),
        per_second: limit(&keys.per_second, default.per_second),
    }
}

fn resolver_options(keys: &keys::Dns) -> ResolverOptions {
    let default = ResolverOptions::default();
    ResolverOptions {
        timeout: keys.timeout.get().copied().unwrap_or(default.timeout),
        tries: keys.tries.get().copied().unwrap_or(default.tries),
    }
}

/// The hosts that clients of `/probe` may name; `None` if it is disabled.
fn probe_endpoint(keys: keys::ProbeEndpoint, at: At<'_>) -> Option<AllowList> {
    if !keys.enabled.into_value()? {
        return None;
    }
    let is_invalid = keys.allow == Field::Invalid;
    let allowed = keys.allow.into_value().unwrap_or_default();
    if allowed.is_empty() && !is_invalid {
        at.key("allow").refuse(
            "is missing or empty, so every probe would be refused; add addresses, networks or host names, like \
             10.0.0.0/8 or .example.com",
        );
    }
    Some(AllowList::new(allowed))
}

/// The public page; `None` if its labels or its title are not valid.
fn public_options(keys: keys::Public, at: At<'_>) -> Option<PublicOptions> {
    let is_invalid = keys.labels == Field::Invalid;
    let labels = keys.labels.into_value().map(|labels| labels.to_map()).unwrap_or_default();
    if labels.is_empty() && !is_invalid {
        at.key("match")
            .refuse("is missing or empty, so nothing would be public; add a label of targets, like `audience: public`");
    }
    let labels: BTreeMap<_, _> = labels
        .into_iter()
        .map(|(name, value)| (name.as_str().to_owned(), value))
        .collect();
    for (name, _) in labels.iter().filter(|(_, value)| value.is_empty()) {
        at.key("match")
            .key(name)
            .refuse("is empty, which no target has; write the value of the label");
    }
    let title = keys.title.into_value().unwrap_or_else(|| PublicOptions::DEFAULT_TITLE.into());
    if let Err(error) = TargetName::try_new(&title) {
        at.key("title").refuse(error);
        return None;
    }
    (!labels.is_empty()).then_some(PublicOptions { labels, title })
}

/// The global labels, `${NAME}` replaced by environment variables: the only part of a configuration that depends on the
/// environment.
fn global_labels(labels: &LabelValues, environment: &dyn Fn(&str) -> Option<String>, at: At<'_>) -> Labels {
    let mut labels = labels.to_map();
    for (name, value) in &mut labels {
        match expanded(value, environment) {
            Ok(text) => *value = text,
            Err(error) => at.key(name.as_str()).refuse(error),
        }
    }
    Labels::default().overlaid(&labels)
}

/// Reason why a value cannot be expanded.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
enum ExpandError {
    #[error("{} is not a valid variable name; must be letters, digits and underscores, as in `${{NAME}}`", quoted(.0))]
    NameMalformed(String),
    #[error("has `${{` without a closing `}}`; write environment variables as `${{NAME}}`")]
    Unclosed,
    #[error("environment variable `{0}` is not set; set it, or write the value")]
    Unset(String),
}

/// The text with each `${NAME}` replaced. Any other `$` is literal, also `$$`.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_in_braces_are_replaced() {
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
