//! Target groups in the format of Prometheus' `file_sd` and `http_sd`: their labels become labels and settings.

use std::collections::HashSet;

use crate::config::keys::TargetGroup;
use crate::config::keys::read::{Key, Named, put};
use crate::config::keys::schema::{SettingKey, ValueKind};
use crate::config::levels::Level;
use crate::config::problems::path::KeyPath;
use crate::config::problems::text::{quoted, suggestion};
use crate::config::problems::{At, Problems};
use crate::config::targets::entry::TargetEntry;
use crate::config::yaml::Node;
use crate::target::{LabelName, LabelNameError};

/// Returns whether an entry is such a group and not a target in portprobe's format.
pub(in crate::config) fn is_group(node: &Node) -> bool {
    matches!(node, Node::Mapping(entries) if entries.iter().any(|(key, _)| &**key == "targets"))
}

/// The group as an entry; `keys` are all settings. Problems are reported at the keys of that entry.
pub(in crate::config) fn read(node: Node, keys: &[SettingKey], at: At<'_>) -> (TargetEntry, LabelOrigins) {
    let TargetGroup { targets, labels } = Key::read(node, at).unwrap_or_default();
    let urls = targets.into_value().unwrap_or_default();
    let mut label_settings = LabelSettings::default();
    label_settings.add(labels.into_value().unwrap_or_default(), keys, at);
    let (settings, name, origins) = label_settings.into_settings();
    let level = Level::new(Key::read(settings, at).unwrap_or_default(), at);
    (TargetEntry::of_several(urls, level, name, at), origins)
}

/// The labels of a valid group as the settings of an entry.
pub(in crate::config) fn settings(node: Node, keys: &[SettingKey]) -> Node {
    let problems = Problems::default();
    let at = problems.document();
    let TargetGroup { labels, .. } = Key::read(node, at).unwrap_or_default();
    let mut label_settings = LabelSettings::default();
    label_settings.add(labels.into_value().unwrap_or_default(), keys, at);
    label_settings.into_settings().0
}

/// The label that set each setting.
#[derive(Debug, Default)]
pub(in crate::config) struct LabelOrigins(Vec<(String, Box<str>)>);

impl LabelOrigins {
    /// A path in the terms of the entry's author.
    pub(in crate::config) fn describe(&self, path: &KeyPath) -> String {
        let path = path.to_string();
        let by_label = self.0.iter().find_map(|(key, label)| {
            let rest = path.strip_prefix(key.as_str())?;
            (rest.is_empty() || rest.starts_with(['.', '['])).then(|| format!("{}{rest}", quoted(label)))
        });
        by_label.unwrap_or(path)
    }

    /// The label that set a setting.
    pub(in crate::config) fn label(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, label)| &**label)
    }

    fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(known, _)| known == key)
    }
}

/// The settings and labels that a group's labels become.
#[derive(Debug, Default)]
struct LabelSettings {
    settings: Vec<(Box<str>, Node)>,
    labels: Vec<(Box<str>, Node)>,
    name: Option<Box<str>>,
    origins: LabelOrigins,
}

impl LabelSettings {
    fn add(&mut self, Named(labels): Named<Box<str>>, keys: &[SettingKey], at: At<'_>) {
        let at_labels = at.key("labels");
        let labels = labels.into_iter().filter_map(|(name, text)| {
            let text = text.read(at_labels.key(&name)).into_value()?;
            Some((name, text))
        });
        let labels: Vec<_> = labels.collect();
        let (own, others): (Vec<_>, Vec<_>) = labels.iter().partition(|(name, _)| name.starts_with(OWN_PREFIX));
        for (label, text) in own {
            self.add_own(label, text, keys, at);
        }
        let taken: HashSet<&str> = others.iter().map(|(name, _)| &**name).collect();
        for (label, text) in &others {
            match PROMETHEUS.iter().find(|(known, _)| **label == **known) {
                Some((_, key)) => self.set(key, label, text, ValueKind::Scalar, at),
                None if label.starts_with("__") => {}
                None => self.labels.push((exported(label, &taken), Node::Text(text.clone()))),
            }
        }
    }

    /// Adds a label with portprobe's prefix.
    fn add_own(&mut self, label: &str, text: &str, keys: &[SettingKey], at: At<'_>) {
        let wanted = label.strip_prefix(OWN_PREFIX).unwrap_or_default();
        let known = keys
            .iter()
            .find(|known| known.key != "labels" && known.key.replace('.', "_") == wanted);
        match known {
            Some(SettingKey { key, kind, .. }) => self.set(key, label, text, *kind, at),
            None if wanted == "name" => {
                self.name = Some(text.into()).filter(|_| !text.is_empty());
                self.origins.0.push(("name".to_owned(), label.into()));
            }
            None => {
                let known: Vec<_> = keys.iter().map(|known| known.key.replace('.', "_")).collect();
                let known = known
                    .iter()
                    .map(String::as_str)
                    .chain(["name"])
                    .filter(|known| *known != "labels");
                let hint = match suggestion(wanted, known) {
                    Some(meant) => format!("; did you mean `{OWN_PREFIX}{meant}`?"),
                    None => String::new(),
                };
                at.key("labels")
                    .key(label)
                    .refuse_key(format_args!("unknown setting {}{hint}", quoted(wanted)));
            }
        }
    }

    fn into_settings(self) -> (Node, Option<Box<str>>, LabelOrigins) {
        let Self { mut settings, labels, name, origins } = self;
        settings.push(("labels".into(), Node::Mapping(labels)));
        (Node::Mapping(settings), name, origins)
    }

    /// Sets a setting, unless another label has or the label is empty.
    fn set(&mut self, key: &str, label: &str, text: &str, kind: ValueKind, at: At<'_>) {
        if text.is_empty() || self.origins.has(key) {
            return;
        }
        self.origins.0.push((key.to_owned(), label.into()));
        let at = at.key(key);
        let mut node = match kind {
            ValueKind::Mapping => match Node::parse(text) {
                Ok(node) => node,
                Err(error) => return at.refuse(error.cause),
            },
            kind => kind.node(text),
        };
        node.refuse_duplicate_keys(at);
        put(&mut self.settings, key, node);
    }
}

/// The name of a label as exported: a reserved one gets a prefix, as in Prometheus.
fn exported(label: &str, taken: &HashSet<&str>) -> Box<str> {
    if LabelName::try_new(label) != Err(LabelNameError::Reserved) {
        return label.into();
    }
    let mut exported = format!("exported_{label}");
    while taken.contains(exported.as_str()) {
        exported.insert_str(0, "exported_");
    }
    exported.into()
}

const OWN_PREFIX: &str = "__portprobe_";
/// Labels of Prometheus that are settings here.
const PROMETHEUS: [(&str, &str); 3] =
    [("__param_module", "module"), ("__scrape_interval__", "interval"), ("__scrape_timeout__", "timeout")];
