//! Groups of targets as Prometheus' `file_sd` and `http_sd` write them: their labels become labels and settings.

use std::collections::HashSet;

use crate::config::keys::read::{mapping, put, text, unknown_keys, value, written};
use crate::config::keys::schema::{SettingKey, ValueKind};
use crate::config::keys::value::{Given, Named, Text};
use crate::config::keys::{RawSettings, RawTargetGroup};
use crate::config::levels::Layer;
use crate::config::problems::Problems;
use crate::config::problems::path::{At, KeyPath};
use crate::config::problems::text::quoted;
use crate::config::problems::text::suggestion;
use crate::config::targets::entry::Entry;
use crate::config::yaml::Node;
use crate::config::yaml::duplicate_keys;
use crate::target::{LabelName, LabelNameError};

/// Whether an entry is such a group and not a target as portprobe writes it.
pub(in crate::config) fn is_group(node: &Node) -> bool {
    matches!(node, Node::Mapping(entries) if entries.iter().any(|(key, _)| &**key == "targets"))
}

/// The group as an entry; `keys` are all settings. What is wrong is noted at the keys that the entry would have.
pub(in crate::config) fn read(node: Node, keys: &[SettingKey], problems: &mut Problems) -> (Entry, Spelling) {
    let at = At::Root;
    let raw: RawTargetGroup = mapping(Given::read(node), at, problems);
    unknown_keys(&raw.unknown, at, RawTargetGroup::keys, problems);
    let urls = value(raw.targets, at.key("targets"), problems).unwrap_or_default();
    let mut translation = Translation::default();
    translation.labels(raw.labels, keys, problems);
    let Translation { mut settings, labels, name, spelling } = translation;
    settings.push(("labels".into(), Node::Mapping(labels)));
    let raw: RawSettings = mapping(Given::read(Node::Mapping(settings)), at, problems);
    let layer = Layer::read(raw, at, problems);
    (Entry::of_several(urls, layer, name, at, problems), spelling)
}

/// By which label each setting was set.
#[derive(Debug, Default)]
pub(in crate::config) struct Spelling(Vec<(String, Box<str>)>);

impl Spelling {
    /// A place as whoever wrote the entry knows it.
    pub(in crate::config) fn of(&self, place: &KeyPath) -> String {
        let path = place.to_string();
        let spelled = self.0.iter().find_map(|(key, label)| {
            let rest = path.strip_prefix(key.as_str())?;
            (rest.is_empty() || rest.starts_with(['.', '['])).then(|| format!("{}{rest}", quoted(label)))
        });
        spelled.unwrap_or(path)
    }

    fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(known, _)| known == key)
    }
}

/// A group's labels on their way to an entry.
#[derive(Debug, Default)]
struct Translation {
    settings: Vec<(Box<str>, Node)>,
    labels: Vec<(Box<str>, Node)>,
    name: Option<Box<str>>,
    spelling: Spelling,
}

impl Translation {
    fn labels(&mut self, given: Given<Named<Text>>, keys: &[SettingKey], problems: &mut Problems) {
        let at = At::Root.key("labels");
        let Some(Named(named)) = value(given, at, problems) else { return };
        let named = named.into_iter().filter_map(|(name, given)| {
            let text = text(given, at.key(&name), problems)?;
            Some((name, text))
        });
        let named: Vec<_> = named.collect();
        let (own, others): (Vec<_>, Vec<_>) = named.iter().partition(|(name, _)| name.starts_with(OWN_PREFIX));
        for (label, text) in own {
            self.own(label, text, keys, problems);
        }
        let taken: HashSet<&str> = others.iter().map(|(name, _)| &**name).collect();
        for (label, text) in &others {
            match PROMETHEUS.iter().find(|(known, _)| **label == **known) {
                Some((_, key)) => self.set(key, label, text, ValueKind::Scalar, problems),
                None if label.starts_with("__") => {}
                None => self.labels.push((exported(label, &taken), Node::Text(text.clone()))),
            }
        }
    }

    /// A label with the prefix of portprobe's own.
    fn own(&mut self, label: &str, text: &str, keys: &[SettingKey], problems: &mut Problems) {
        let wanted = label.strip_prefix(OWN_PREFIX).unwrap_or_default();
        let known = keys.iter().find(|known| known.key != "labels" && known.key.replace('.', "_") == wanted);
        match known {
            Some(SettingKey { key, kind, .. }) => self.set(key, label, text, *kind, problems),
            None if wanted == "name" => {
                self.name = Some(text.into()).filter(|_| !text.is_empty());
                self.spelling.0.push(("name".to_owned(), label.into()));
            }
            None => {
                let known: Vec<_> = keys.iter().map(|known| known.key.replace('.', "_")).collect();
                let known = known.iter().map(String::as_str).chain(["name"]).filter(|known| *known != "labels");
                let hint = match suggestion(wanted, known) {
                    Some(meant) => format!("; did you mean `{OWN_PREFIX}{meant}`?"),
                    None => ", and there is no such setting".to_owned(),
                };
                problems.add_key(At::Root.key("labels").key(label), 0, format!("is to set {}{hint}", quoted(wanted)));
            }
        }
    }

    /// Sets a setting, unless another label has; an empty label is none.
    fn set(&mut self, key: &str, label: &str, text: &str, kind: ValueKind, problems: &mut Problems) {
        if text.is_empty() || self.spelling.has(key) {
            return;
        }
        self.spelling.0.push((key.to_owned(), label.into()));
        let node = match kind {
            ValueKind::Mapping => match Node::parse(text) {
                Ok(node) => node,
                Err(error) => return problems.add(At::Root.key(key), error.cause.to_string()),
            },
            kind => written(text, kind),
        };
        duplicate_keys(&node, At::Root.key(key), problems);
        put(&mut self.settings, key, node);
    }
}

/// The name that a label gets: one that is taken by portprobe or Prometheus gets a prefix, as Prometheus does it.
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
/// Prometheus' own labels that are settings here.
const PROMETHEUS: [(&str, &str); 3] =
    [("__param_module", "module"), ("__scrape_interval__", "interval"), ("__scrape_timeout__", "timeout")];
