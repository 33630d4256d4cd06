//! The documentation of the keys: a JSON Schema for editors, a list of settings for the command line and labels.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::config::keys::{Configuration, Settings};
use crate::config::yaml::Node;

/// The JSON Schema of a configuration file.
pub fn schema() -> Value {
    SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<Configuration>()
        .into()
}

/// Every setting, in the order of its documentation.
pub fn setting_keys() -> Vec<SettingKey> {
    let inline = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema: Value = inline.into_generator().into_root_schema_for::<Settings>().into();
    let mut keys = Vec::new();
    collect(&schema, "", &mut keys);
    keys
}

/// A setting: a key of a target, a module or the defaults.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SettingKey {
    /// The key, with a dot between its parts: `confirm.failures`.
    pub key: String,
    /// The default as it would be written, if there is one.
    pub default: Option<String>,
    /// Its documentation, one sentence.
    pub meaning: String,
    /// The form of its value.
    pub kind: ValueKind,
}

/// The form of a setting's value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ValueKind {
    /// A list; as a flag, with commas between its items.
    List,
    /// Names and values, or a list of such; not available as a flag.
    Mapping,
    /// A word, a number, a duration or a text.
    Scalar,
}

impl ValueKind {
    /// A value that is not written in YAML, but as one text: a flag or a label. The items of a list have commas between
    /// them.
    pub(in crate::config) fn node(self, text: &str) -> Node {
        match self {
            Self::List => Node::List(text.split(',').map(|item| Node::Text(item.trim().into())).collect()),
            Self::Mapping | Self::Scalar => Node::scalar(text),
        }
    }
}

fn collect(schema: &Value, prefix: &str, keys: &mut Vec<SettingKey>) {
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    for (name, property) in properties {
        let key = format!("{prefix}{name}");
        if property.get("properties").is_some() {
            collect(property, &format!("{key}."), keys);
            continue;
        }
        let kind = match property.get("type").and_then(Value::as_str) {
            Some("array") if property.pointer("/items/properties").is_some() => ValueKind::Mapping,
            Some("array") => ValueKind::List,
            Some("object") => ValueKind::Mapping,
            _ => ValueKind::Scalar,
        };
        let meaning = property
            .get("description")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let default = property.get("default").map(|default| match default {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        keys.push(SettingKey { key, default, meaning, kind });
    }
}
