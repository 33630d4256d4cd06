//! Reads the values of keys: reports invalid values and unknown keys, and builds settings from other texts than YAML.

use std::collections::BTreeMap;

use crate::config::keys::RawLabels;
use crate::config::keys::schema::ValueKind;
use crate::config::keys::value::{Given, List, Text};
use crate::config::problems::Problems;
use crate::config::problems::path::At;
use crate::config::problems::text::suggestion;
use crate::config::yaml::Node;
use crate::target::LabelName;

/// The value at a key; a wrong one is noted.
pub(in crate::config) fn value<T>(given: Given<T>, at: At<'_>, problems: &mut Problems) -> Option<T> {
    match given {
        Given::Nothing => None,
        Given::Value(value) => Some(value),
        Given::Wrong(message) => {
            problems.add(at, message);
            None
        }
    }
}

/// The mapping at a key; one that is not there is empty.
pub(in crate::config) fn mapping<T: Default>(given: Given<T>, at: At<'_>, problems: &mut Problems) -> T {
    value(given, at, problems).unwrap_or_default()
}

/// The text at a key.
pub(in crate::config) fn text(given: Given<Text>, at: At<'_>, problems: &mut Problems) -> Option<Box<str>> {
    let Text { text, literal } = value(given, at, problems)?;
    if !literal {
        problems.read_as(at, &text);
    }
    Some(text)
}

/// The good items of the list at a key.
pub(in crate::config) fn list<T>(given: Given<List<T>>, at: At<'_>, problems: &mut Problems) -> Option<Vec<T>> {
    let List(items) = value(given, at, problems)?;
    let items = items.into_iter().enumerate();
    Some(items.filter_map(|(index, item)| value(item, at.item(index), problems)).collect())
}

/// The labels at a key, `$` in them taken as it is.
pub(in crate::config) fn labels(
    given: Given<RawLabels>,
    at: At<'_>,
    problems: &mut Problems,
) -> BTreeMap<LabelName, String> {
    let Some(RawLabels(named)) = value(given, at, problems) else { return BTreeMap::new() };
    let mut labels = BTreeMap::new();
    for (name, given) in named.0 {
        let at = at.key(&name);
        match LabelName::try_new(&name) {
            Ok(label) if labels.contains_key(&label) => {}
            Ok(label) => labels.extend(text(given, at, problems).map(|text| (label, text.into()))),
            Err(error) => problems.add_key(at, 0, error.to_string()),
        }
    }
    labels
}

/// Notes keys that do not exist, with the one that may have been meant.
pub(in crate::config) fn unknown_keys(
    unknown: &[Box<str>],
    at: At<'_>,
    known: fn() -> Vec<&'static str>,
    problems: &mut Problems,
) {
    for key in unknown {
        let message = match suggestion(key, known()) {
            _ if &**key == "<<" => "merges mappings alone; expected an alias of one, like `<<: *name`".to_owned(),
            Some(meant) => format!("unknown key; did you mean `{meant}`?"),
            None => format!("unknown key; the keys here are {}", known().join(", ")),
        };
        problems.add_key(at.key(key), 0, message);
    }
}

/// A setting's value as it is written outside of YAML, lists with commas.
pub(in crate::config) fn written(text: &str, kind: ValueKind) -> Node {
    match kind {
        ValueKind::List => Node::List(text.split(',').map(|item| Node::Text(item.trim().into())).collect()),
        ValueKind::Mapping | ValueKind::Scalar => Node::scalar(text),
    }
}

/// Puts a value where a dotted key leads to.
pub(in crate::config) fn put(mapping: &mut Vec<(Box<str>, Node)>, key: &str, value: Node) {
    let Some((outer, inner)) = key.split_once('.') else { return mapping.push((key.into(), value)) };
    if let Some((_, Node::Mapping(entries))) = mapping.iter_mut().find(|(known, _)| &**known == outer) {
        return put(entries, inner, value);
    }
    let mut entries = Vec::new();
    put(&mut entries, inner, value);
    mapping.push((outer.into(), Node::Mapping(entries)));
}
