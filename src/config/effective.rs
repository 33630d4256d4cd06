//! The settings of targets and where they come from, for `portprobe check --targets`.
//!
//! The levels that apply to an entry, and their order, are those with which its targets are built. Values are shown as
//! written.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use crate::config::keys::Configuration;
use crate::config::keys::read::Key;
use crate::config::keys::schema::setting_keys;
use crate::config::levels::{Level, Levels};
use crate::config::problems::path::{KeyPath, Part, Position, Step};
use crate::config::problems::positions::Positions;
use crate::config::problems::text::OneLine;
use crate::config::problems::{At, Problems};
use crate::config::sources::{Discovered, Source};
use crate::config::targets::builder::TargetBuilder;
use crate::config::targets::discovered::DiscoveryContext;
use crate::config::targets::entry::TargetEntry;
use crate::config::targets::prometheus::{self, LabelOrigins};
use crate::config::yaml::Node;
use crate::config::yaml::redacted::Written;
use crate::duration;
use crate::target::{Cadence, Protocol, Target};

/// The targets of an entry, which have the same settings.
#[derive(Clone, Debug, PartialEq)]
pub struct EffectiveEntry {
    /// The targets in the order of the entry.
    pub targets: Vec<Arc<Target>>,
    /// The interval, the timeout, and every setting that a level sets, in the order of their documentation. All others
    /// have their default.
    pub settings: Vec<EffectiveSetting>,
}

/// A setting of a target.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EffectiveSetting {
    /// The key, like `confirm.failures` or `labels.team`.
    pub key: String,
    /// The value on one line. Secrets are hidden.
    pub value: String,
    /// Where the value comes from.
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// No level sets it.
    Default,
    /// The interval limits it.
    Interval,
    /// A key of a file.
    Key {
        /// The file.
        file: Arc<Path>,
        /// The position of the value.
        position: Option<Position>,
        /// The path of the key, like `modules.database.interval`.
        key: String,
    },
}

/// Explains the settings of targets.
pub struct Explainer<'a> {
    context: &'a DiscoveryContext,
    file: FileText<'a>,
    /// Every setting, in the order of the documentation.
    keys: Vec<String>,
    secrets: Vec<&'static str>,
}

/// A file with its positions.
struct FileText<'a> {
    path: Arc<Path>,
    document: Node,
    positions: Positions<'a>,
}

/// The settings of an entry as written.
struct OwnLevel<'n, 'a> {
    file: &'n FileText<'a>,
    node: &'n Node,
    origins: LabelOrigins,
}

impl<'a> Explainer<'a> {
    /// Explains a valid configuration that was read from a file with this text.
    pub fn new(context: &'a DiscoveryContext, path: &Path, text: &'a str) -> Self {
        Self {
            context,
            file: FileText::new(path, text),
            keys: setting_keys().into_iter().map(|known| known.key).collect(),
            secrets: Configuration::secret_keys(),
        }
    }

    /// The entries of the configuration.
    pub fn entries(&self) -> Vec<EffectiveEntry> {
        let problems = Problems::default();
        let (document, mut builder) = (problems.document(), self.context.builder());
        let at = document.key("targets");
        let Some(Node::List(nodes)) = self.file.document.get("targets") else { return Vec::new() };
        let entries = nodes.iter().enumerate().filter_map(|(index, node)| {
            let at = at.item(index);
            let own = OwnLevel { file: &self.file, node, origins: LabelOrigins::default() };
            Some(self.explain(&mut builder, &TargetEntry::read(node.clone(), at)?, &own, at))
        });
        entries.collect()
    }

    /// The entries of a source's file with this text.
    pub fn discovered(&self, source: &Source, path: &Path, text: &str, entries: &[Discovered]) -> Vec<EffectiveEntry> {
        let Some(level) = self.context.sources.get(&source.name) else { return Vec::new() };
        let (problems, file) = (Problems::default(), FileText::new(path, text));
        let (document, mut reader) = (problems.document(), self.context.reader(source, level));
        let entries = entries.iter().enumerate().filter_map(|(index, Discovered(node))| {
            let at = document.item(index);
            let (entry, origins) = reader.entry(node.clone(), at);
            let settings = prometheus::is_group(node).then(|| prometheus::settings(node.clone(), &reader.keys));
            let own = OwnLevel { file: &file, node: settings.as_ref().unwrap_or(node), origins };
            Some(self.explain(&mut reader.builder, &entry?, &own, at))
        });
        entries.collect()
    }

    fn explain(
        &self,
        builder: &mut TargetBuilder<'_>,
        entry: &TargetEntry,
        own: &OwnLevel<'_, '_>,
        at: At<'_>,
    ) -> EffectiveEntry {
        let parts = builder.parts(entry, at);
        let endpoints = parts.urls.iter().flat_map(|(_, url)| url.endpoints());
        let targets: Vec<_> = endpoints
            .filter_map(|endpoint| parts.target(parts.name_of(&endpoint).ok()?, endpoint))
            .collect();
        let (levels, _) = builder.levels(entry, at.problems());
        let mut settings = self.written(&levels, own);
        settings.retain(|setting| targets.iter().any(|target| applies(&setting.key, target)));
        if let Some(target) = targets.first() {
            self.add_global_labels(target, &mut settings);
            limit(Levels { all: &levels, problems: at.problems() }, target, &mut settings);
        }
        settings.sort_by_cached_key(|setting| (self.order(&setting.key), setting.key.clone()));
        EffectiveEntry { targets, settings }
    }

    /// Every setting that one of the levels sets, with its nearest value.
    fn written(&self, levels: &[&Level], own: &OwnLevel<'_, '_>) -> Vec<EffectiveSetting> {
        let (mut seen, mut settings) = (HashSet::new(), Vec::new());
        for (index, level) in levels.iter().enumerate() {
            let is_own = index == 0;
            let node = if is_own { Some(own.node) } else { self.file.value(&level.at) };
            for (key, value) in self.leaves(level, node) {
                if !seen.insert(key.clone()) {
                    continue;
                }
                let path = match own.origins.label(&key).filter(|_| is_own) {
                    Some(label) => level.at.join("labels").join(label),
                    None => key.split('.').fold(level.at.clone(), |path, step| path.join(step)),
                };
                let origin = if is_own { own.file.origin(&path) } else { self.file.origin(&path) };
                settings.push(EffectiveSetting { value: self.shown(&key, value), key, origin });
            }
        }
        settings
    }

    /// The settings of a level, whose node may have other keys, too.
    fn leaves<'n>(&self, level: &Level, node: Option<&'n Node>) -> Vec<(String, &'n Node)> {
        let mut leaves = Vec::new();
        let Some(Node::Mapping(entries)) = node else { return leaves };
        let set = level.set_keys();
        for (key, value) in entries.iter().filter(|(key, _)| set.contains(&&**key)) {
            self.add_leaves(key.to_string(), value, &mut leaves);
        }
        leaves
    }

    fn add_leaves<'n>(&self, key: String, node: &'n Node, leaves: &mut Vec<(String, &'n Node)>) {
        match node {
            Node::Null => {}
            Node::Mapping(entries) if key == LABELS || !self.keys.contains(&key) => {
                for (inner, value) in entries {
                    self.add_leaves(format!("{key}.{inner}"), value, leaves);
                }
            }
            leaf => leaves.push((key, leaf)),
        }
    }

    /// A value on one line, as YAML in flow style.
    fn shown(&self, key: &str, value: &Node) -> String {
        let last = key.rsplit('.').next().unwrap_or(key);
        let mapping = Node::Mapping(vec![(last.into(), value.clone())]);
        let json = serde_json::to_value(Written::new(&mapping, &self.secrets)).unwrap_or_default();
        match json.get(last) {
            Some(serde_json::Value::String(text)) => OneLine(text).to_string(),
            Some(other) => OneLine(&other.to_string()).to_string(),
            None => String::new(),
        }
    }

    /// Adds the labels of every series, which may contain environment variables, and drops removed labels.
    fn add_global_labels(&self, target: &Target, settings: &mut Vec<EffectiveSetting>) {
        let key = |name: &str| format!("{LABELS}.{name}");
        let labels: Vec<_> = target.labels.iter().map(|(name, value)| (key(name), name, value)).collect();
        settings.retain(|setting| {
            !setting.key.starts_with("labels.") || labels.iter().any(|(key, ..)| *key == setting.key)
        });
        for (key, name, value) in labels {
            if settings.iter().all(|setting| setting.key != key) {
                let origin = self.file.origin(&KeyPath::document().join(LABELS).join(name));
                settings.push(EffectiveSetting { key, value: OneLine(value).to_string(), origin });
            }
        }
    }

    fn order(&self, key: &str) -> usize {
        let key = if key.starts_with("labels.") { LABELS } else { key };
        self.keys.iter().position(|known| known == key).unwrap_or(self.keys.len())
    }
}

impl<'a> FileText<'a> {
    /// A file whose text is valid.
    fn new(path: &Path, text: &'a str) -> Self {
        let document = Node::parse(text).unwrap_or(Node::Null);
        Self { path: path.into(), document, positions: Positions::read(text) }
    }

    fn value(&self, path: &KeyPath) -> Option<&Node> {
        path.steps.iter().try_fold(&self.document, |node, step| match (step, node) {
            (Step::Item(index), Node::List(items)) => items.get(*index),
            (Step::Key(key), node) => node.get(key),
            (Step::Item(_), _) => None,
        })
    }

    fn origin(&self, path: &KeyPath) -> Origin {
        let position = self.positions.position(path, Part::Value);
        Origin::Key { file: self.path.clone(), position, key: path.to_string() }
    }
}

/// Returns whether a setting has an effect on a target. Settings of other protocols may be inherited.
fn applies(key: &str, target: &Target) -> bool {
    let probe_kind = &target.settings.probe_kind;
    match key.split('.').next() {
        Some("tls") => probe_kind.tls().is_some(),
        Some("http") => probe_kind.http().is_some(),
        Some("dialogue") => !matches!(target.endpoint.protocol, Protocol::Service(..)),
        Some("expect") => probe_kind.tls().is_none() && !matches!(target.endpoint.protocol, Protocol::Service(..)),
        _ => true,
    }
}

/// Adds interval and timeout if no level sets them, and corrects durations that the interval limits.
fn limit(levels: Levels<'_>, target: &Target, settings: &mut Vec<EffectiveSetting>) {
    let (cadence, confirm) = (target.settings.cadence, &target.settings.confirm);
    let timeout = levels.nearest(|keys| keys.timeout.get()).map(|(_, timeout)| *timeout);
    let delay = levels.nearest(|keys| keys.confirm.get()?.delay.get()).map(|(_, delay)| *delay);
    for (key, written, effective) in [
        ("interval", None, cadence.interval()),
        ("timeout", timeout, cadence.timeout()),
        ("confirm.delay", delay, confirm.delay),
    ] {
        let value = duration::display(effective).to_string();
        match settings.iter_mut().find(|setting| setting.key == key) {
            Some(setting) if written.is_some_and(|written| written != effective) => {
                (setting.value, setting.origin) = (value, Origin::Interval);
            }
            None if key != "confirm.delay" => {
                let is_limited = key == "timeout" && effective != Cadence::DEFAULT_TIMEOUT;
                let origin = if is_limited { Origin::Interval } else { Origin::Default };
                settings.push(EffectiveSetting { key: key.to_owned(), value, origin });
            }
            _ => {}
        }
    }
}

const LABELS: &str = "labels";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, discovered};

    const CONFIG: &str = "\
labels: { region: '${REGION}' }
defaults: { interval: 30s, tls: { verify: report } }
modules:
  database: { timeout: 5s, labels: { team: data, tier: '1' }, confirm: { failures: 3 } }
targets:
  - tcp://a:1-2
  - url: https://b/?token=x
    module: database
    interval: 2s
    labels: { tier: '' }
    http: { headers: { authorization: secret }, status: [200, 204] }
discovery:
  - { file: sd.json, module: database, refresh: 5s, labels: { from: sd } }
";

    fn lines(entry: &EffectiveEntry) -> Vec<String> {
        let line = |setting: &EffectiveSetting| {
            let origin = match &setting.origin {
                Origin::Default => "default".to_owned(),
                Origin::Interval => "interval".to_owned(),
                Origin::Key { file, position, key } => {
                    let Position { line, column } = position.unwrap();
                    format!("{}:{line}:{column} {key}", file.display())
                }
            };
            format!("{}={} {origin}", setting.key, setting.value)
        };
        entry.settings.iter().map(line).collect()
    }

    fn names(entry: &EffectiveEntry) -> Vec<&str> {
        entry.targets.iter().map(|target| target.name.as_str()).collect()
    }

    fn config() -> config::Config {
        let environment = |name: &str| (name == "REGION").then(|| "eu".to_owned());
        config::parse(CONFIG, Path::new("a.yaml"), &environment)
            .unwrap()
            .finish(&[])
            .unwrap()
    }

    #[test]
    fn each_setting_has_its_nearest_origin() {
        let config = config();
        let entries = Explainer::new(&config.discovery_context, Path::new("a.yaml"), CONFIG).entries();
        assert_eq!(names(&entries[0]), ["tcp://a:1", "tcp://a:2"]);
        let expected = [
            "interval=30s a.yaml:2:23 defaults.interval",
            "timeout=10s default",
            "labels.region=eu a.yaml:1:19 labels.region",
        ];
        assert_eq!(lines(&entries[0]), expected);
        let expected = [
            "interval=2s a.yaml:9:15 targets[1].interval",
            "timeout=2s interval",
            "module=database a.yaml:8:13 targets[1].module",
            "labels.region=eu a.yaml:1:19 labels.region",
            "labels.team=data a.yaml:4:44 modules.database.labels.team",
            "confirm.failures=3 a.yaml:4:84 modules.database.confirm.failures",
            "tls.verify=report a.yaml:2:43 defaults.tls.verify",
            "http.status=[200,204] a.yaml:11:57 targets[1].http.status",
            "http.headers={\"authorization\":\"<hidden>\"} a.yaml:11:22 targets[1].http.headers",
        ];
        let mut found = lines(&entries[1]);
        found.sort_unstable();
        let mut expected = expected.map(str::to_owned);
        expected.sort_unstable();
        assert_eq!(found, expected);
    }

    #[test]
    fn discovered_settings_name_their_label_or_source() {
        let config = config();
        let explainer = Explainer::new(&config.discovery_context, Path::new("a.yaml"), CONFIG);
        let text = r#"[{ "targets": ["c:1"], "labels": { "__portprobe_slow_after": "1s", "x": "y" } }, "d:1"]"#;
        let entries = discovered(text).unwrap();
        let found = explainer.discovered(&config.discovery[0], Path::new("sd.json"), text, &entries);
        let of_source = [
            "interval=30s a.yaml:2:23 defaults.interval",
            "timeout=5s a.yaml:4:24 modules.database.timeout",
            "module=database a.yaml:13:30 discovery[0].module",
            "labels.from=sd a.yaml:13:69 discovery[0].labels.from",
            "labels.region=eu a.yaml:1:19 labels.region",
            "labels.team=data a.yaml:4:44 modules.database.labels.team",
            "labels.tier=1 a.yaml:4:56 modules.database.labels.tier",
            "confirm.failures=3 a.yaml:4:84 modules.database.confirm.failures",
        ];
        assert_eq!((names(&found[1]), lines(&found[1])), (vec!["tcp://d:1"], of_source.map(str::to_owned).to_vec()));
        let own: Vec<_> = lines(&found[0]).into_iter().filter(|line| line.contains("sd.json")).collect();
        let expected =
            ["labels.x=y sd.json:1:73 [0].labels.x", "slow_after=1s sd.json:1:62 [0].labels.__portprobe_slow_after"];
        assert_eq!(own, expected);
    }
}
