//! The documentation of the keys: a JSON Schema for editors, a list of settings for the command line and labels, and a
//! list of the top-level keys for the reference.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::config::keys::{Configuration, Settings};
use crate::config::problems::path::flag_name;
use crate::config::yaml::Node;

/// The JSON Schema of a configuration file.
pub fn schema() -> Value {
    SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<Configuration>()
        .into()
}

/// Every setting, in the order of the declaration.
pub fn setting_keys() -> Vec<SettingKey> {
    documented_keys::<Settings>()
}

/// Every key that is not a setting, such as `groups.NAME.min_up`, in the order of the declaration. `defaults`,
/// `modules`, `targets` and `discovery` are one key each.
pub fn top_level_keys() -> Vec<SettingKey> {
    documented_keys::<Configuration>()
}

/// A key of the configuration: a setting or a top-level key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SettingKey {
    /// The path of the key, as in `confirm.failures`. `NAME` replaces a name that users choose.
    pub key: String,
    /// The default as written in YAML, if there is one.
    pub default: Option<String>,
    /// The documentation: one or two sentences.
    pub meaning: String,
    /// The form of the value.
    pub kind: ValueKind,
}

impl SettingKey {
    /// The name of its flag: `tls.ca-file` for the key `tls.ca_file`.
    pub fn flag(&self) -> String {
        flag_name(&self.key)
    }
}

/// The form of a key's value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ValueKind {
    /// A list; as a flag, with commas between its items.
    List,
    /// A mapping, or a list of mappings; not available as a flag.
    Mapping,
    /// A word, a number, a duration or a text.
    Scalar,
}

impl ValueKind {
    /// Returns the value of a flag or a label, which is not YAML but a text, with commas between the items of a list.
    pub(in crate::config) fn node(self, text: &str) -> Node {
        match self {
            Self::List => Node::List(text.split(',').map(|item| Node::Text(item.trim().into())).collect()),
            Self::Mapping | Self::Scalar => Node::scalar(text),
        }
    }
}

fn documented_keys<T: JsonSchema>() -> Vec<SettingKey> {
    let inline = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema: Value = inline.into_generator().into_root_schema_for::<T>().into();
    let mut keys = Vec::new();
    collect(&schema, "", &mut keys);
    keys
}

/// Adds the keys of a mapping and of the mappings in it.
fn collect(schema: &Value, prefix: &str, keys: &mut Vec<SettingKey>) {
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    for (name, property) in properties {
        let key = format!("{prefix}{name}");
        let named = property
            .get("additionalProperties")
            .filter(|named| named.get("properties").is_some());
        if OF_SETTINGS.contains(&&*key) {
            keys.push(setting_key(key, property));
        } else if property.get("properties").is_some() {
            collect(property, &format!("{key}."), keys);
        } else if let Some(named) = named {
            collect(named, &format!("{key}.NAME."), keys);
        } else {
            keys.push(setting_key(key, property));
        }
    }
}

fn setting_key(key: String, property: &Value) -> SettingKey {
    let kind = match (property.get("items"), property.get("type").and_then(Value::as_str)) {
        (Some(items), _) if items.get("properties").is_some() => ValueKind::Mapping,
        (Some(_), _) => ValueKind::List,
        (None, Some("object")) => ValueKind::Mapping,
        (None, _) => ValueKind::Scalar,
    };
    let meaning = property
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    SettingKey { key, default: property.get("default").map(written), meaning, kind }
}

/// A default as written in YAML.
fn written(default: &Value) -> String {
    match default {
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// Top-level keys whose values consist of settings.
const OF_SETTINGS: [&str; 2] = ["defaults", "modules"];
