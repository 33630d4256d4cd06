//! Relabelling of Prometheus, applied to a target as Prometheus does.

use std::collections::BTreeMap;

use regex::Regex;

use super::expression::anchored;
use crate::config::{ForeignValue, LoadError};

/// The labels of a target.
pub(super) type Labels = BTreeMap<String, String>;

/// A rule of `relabel_configs`.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) source_labels: Vec<String>,
    separator: String,
    regex: Regex,
    has_default_regex: bool,
    target_label: String,
    pub(super) replacement: String,
    pub(super) action: String,
}

impl Rule {
    pub(super) fn read(value: &ForeignValue<'_>) -> Result<Self, LoadError> {
        let text = |key: &str, default: &str| -> Result<String, LoadError> {
            Ok(value
                .get(key)
                .map(|value| value.text())
                .transpose()?
                .unwrap_or_else(|| default.to_owned()))
        };
        let expression = text("regex", DEFAULT_REGEX)?;
        let regex = Regex::new(&anchored(&expression)).map_err(|_| {
            value
                .get("regex")
                .as_ref()
                .unwrap_or(value)
                .refuse("is not a valid regular expression")
        })?;
        let action = text("action", "replace")?.to_ascii_lowercase();
        if !ACTIONS.contains(&&*action) {
            return Err(value.get("action").as_ref().unwrap_or(value).refuse("unknown action"));
        }
        Ok(Self {
            source_labels: value.child("source_labels").texts()?,
            separator: text("separator", ";")?,
            has_default_regex: expression == DEFAULT_REGEX,
            regex,
            target_label: text("target_label", "")?,
            replacement: text("replacement", "$1")?,
            action,
        })
    }

    /// Whether the rule has the same effect on every target with these labels, with any values.
    pub(super) fn is_uniform(&self, known: &[&str]) -> bool {
        let is_set = self.source_labels.is_empty() && self.action == "replace";
        let is_copy = self.has_default_regex && self.action == "replace";
        let is_known = self.source_labels.iter().all(|label| known.contains(&&**label));
        is_set || (is_copy && is_known)
    }

    /// Whether it computes the share of a Prometheus server.
    pub(super) fn is_hash(&self) -> bool {
        self.action == "hashmod"
    }

    /// Whether it sets this label.
    pub(super) fn sets(&self, label: &str) -> bool {
        matches!(&*self.action, "replace" | "lowercase" | "uppercase") && self.target_label == label
    }

    /// Whether it could set this label on a target with the right labels.
    pub(super) fn may_set(&self, label: &str) -> bool {
        let template = match &*self.action {
            "replace" | "lowercase" | "uppercase" | "hashmod" => &self.target_label,
            "labelmap" => &self.replacement,
            _ => return false,
        };
        match template.split_once('$') {
            // Labels that are copied under other names are seldom internal ones.
            Some((start, _)) => start.starts_with("__") && label.starts_with(start),
            None => template == label,
        }
    }

    /// Applies the rule; returns whether the target is kept.
    fn apply(&self, labels: &mut Labels) -> bool {
        let values = self
            .source_labels
            .iter()
            .map(|label| labels.get(label).map_or("", String::as_str));
        let value = values.collect::<Vec<_>>().join(&self.separator);
        match &*self.action {
            "replace" => self.replace(&value, labels),
            "keep" => return self.regex.is_match(&value),
            "drop" => return !self.regex.is_match(&value),
            "keepequal" => return labels.get(&self.target_label).map_or("", String::as_str) == value,
            "dropequal" => return labels.get(&self.target_label).map_or("", String::as_str) != value,
            "lowercase" => set(labels, self.target_label.clone(), value.to_lowercase()),
            "uppercase" => set(labels, self.target_label.clone(), value.to_uppercase()),
            "labeldrop" => labels.retain(|name, _| !self.regex.is_match(name)),
            "labelkeep" => labels.retain(|name, _| self.regex.is_match(name)),
            "labelmap" => {
                for (name, value) in labels.clone() {
                    if self.regex.is_match(&name) {
                        let mapped = self.regex.replace(&name, &*self.replacement).into_owned();
                        labels.insert(mapped, value);
                    }
                }
            }
            _ => {}
        }
        true
    }

    fn replace(&self, value: &str, labels: &mut Labels) {
        let Some(captures) = self.regex.captures(value) else { return };
        let expand = |template: &str| {
            let mut expanded = String::new();
            captures.expand(template, &mut expanded);
            expanded
        };
        let label = expand(&self.target_label);
        if !label.is_empty() {
            set(labels, label, expand(&self.replacement));
        }
    }
}

/// Applies rules in their order; `None` if one of them drops the target.
///
/// Rules that select the share of a Prometheus server by a hash do not apply: portprobe has all shares, or its own shards.
pub(super) fn relabeled(rules: &[Rule], mut labels: Labels) -> Option<Labels> {
    let hashes: Vec<_> = rules
        .iter()
        .filter(|rule| rule.is_hash())
        .map(|rule| &rule.target_label)
        .collect();
    let mut rules = rules
        .iter()
        .filter(|rule| !rule.source_labels.iter().any(|label| hashes.contains(&label)));
    rules.all(|rule| rule.apply(&mut labels)).then_some(labels)
}

/// Sets a label; an empty value removes it.
fn set(labels: &mut Labels, name: String, value: String) {
    if value.is_empty() {
        labels.remove(&name);
    } else {
        labels.insert(name, value);
    }
}

const DEFAULT_REGEX: &str = "(.*)";

const ACTIONS: [&str; 11] = [
    "replace",
    "keep",
    "drop",
    "keepequal",
    "dropequal",
    "hashmod",
    "labelmap",
    "labeldrop",
    "labelkeep",
    "lowercase",
    "uppercase",
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::ForeignFile;

    fn rules(yaml: &str) -> Result<Vec<Rule>, LoadError> {
        let file = ForeignFile::parse(Path::new("a.yml"), yaml.to_owned()).unwrap();
        file.root().items()?.iter().map(Rule::read).collect()
    }

    fn applied(yaml: &str, labels: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        let labels = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        relabeled(&rules(yaml).unwrap(), labels).map(|labels| labels.into_iter().collect())
    }

    #[test]
    fn rules_are_applied_as_in_prometheus() {
        let address = [("__address__", "a:1"), ("team", "x")];
        for (yaml, expected) in [
            (
                "[{source_labels: [__address__], target_label: i}]",
                &[("__address__", "a:1"), ("i", "a:1"), ("team", "x")] as &[_],
            ),
            ("[{target_label: __address__, replacement: 'b:2'}]", &[("__address__", "b:2"), ("team", "x")]),
            (
                "[{source_labels: [__address__, team], regex: '(.*):1;(.)', target_label: team, replacement: '$2-${1}'}]",
                &[("__address__", "a:1"), ("team", "x-a")],
            ),
            ("[{source_labels: [team], regex: y, target_label: z}]", &address),
            ("[{regex: te.*, action: labeldrop}]", &[("__address__", "a:1")]),
            (
                "[{regex: (te)am, replacement: '${1}x', action: LabelMap}]",
                &[("__address__", "a:1"), ("team", "x"), ("tex", "x")],
            ),
            ("[{target_label: team, replacement: ''}]", &[("__address__", "a:1")]),
        ] {
            let expected = expected
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            assert_eq!(applied(yaml, &address), Some(expected), "{yaml}");
        }
        assert_eq!(applied("[{source_labels: [team], regex: x, action: drop}]", &address), None);
        assert_eq!(applied("[{source_labels: [team], regex: y, action: keep}]", &address), None);
    }

    #[test]
    fn expressions_have_the_syntax_of_go() {
        let address = [("__address__", "a{x}[1]:1")];
        for regex in [r"\Qa{x}[1]\E:.", "a{x}[[]1[]]:1", r"\141{x}\[1\]:1"] {
            let yaml = format!("[{{source_labels: [__address__], regex: '{regex}', action: keep}}]");
            assert!(applied(&yaml, &address).is_some(), "{regex}");
        }
    }

    #[test]
    fn shares_of_servers_do_not_apply() {
        let yaml = "[{source_labels: [__address__], modulus: 2, target_label: __tmp_hash, action: hashmod}, \
                    {source_labels: [__tmp_hash], regex: 1, action: keep}]";
        assert!(applied(yaml, &[("__address__", "a:1")]).is_some());
    }

    #[test]
    fn invalid_rules_are_errors_with_a_line() {
        let error = rules("- regex: '('\n").unwrap_err().to_string();
        assert_eq!(error, "a.yml:1:10: [0].regex: is not a valid regular expression");
        let error = rules("- action: sort\n").unwrap_err().to_string();
        assert_eq!(error, "a.yml:1:11: [0].action: unknown action");
    }
}
