//! Grafana dashboards as data: panels, queries and variables.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A dashboard from its file.
#[derive(Clone, Debug)]
pub(crate) struct Dashboard(pub(crate) Value);

impl Dashboard {
    /// Every delivered dashboard, by file name, which is also its UID.
    pub(crate) fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards");
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let dashboard = |file: &PathBuf| {
            let dashboard = Self(serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap());
            assert_eq!(Some(dashboard.uid()), file.file_stem().and_then(OsStr::to_str), "its uid is its file's name");
            dashboard
        };
        files.iter().map(dashboard).collect()
    }

    pub(crate) fn uid(&self) -> &str {
        text(&self.0, "uid")
    }

    /// All panels, including rows, each followed by its collapsed panels.
    pub(crate) fn elements(&self) -> Vec<Panel<'_>> {
        let top = items(&self.0, "panels");
        top.iter()
            .flat_map(|panel| [panel].into_iter().chain(items(panel, "panels")))
            .map(Panel)
            .collect()
    }

    /// All panels with data.
    pub(crate) fn panels(&self) -> Vec<Panel<'_>> {
        self.elements().into_iter().filter(|panel| panel.kind() != "row").collect()
    }

    pub(crate) fn variables(&self) -> Vec<Variable<'_>> {
        items(&self.0["templating"], "list").iter().map(Variable).collect()
    }

    /// The annotations from queries.
    pub(crate) fn annotations(&self) -> Vec<&Value> {
        let annotations = items(&self.0["annotations"], "list").iter();
        annotations.filter(|annotation| annotation["builtIn"].is_null()).collect()
    }

    /// The URL of every link of the dashboard and its panels.
    pub(crate) fn links(&self) -> Vec<&str> {
        let mut links = Vec::new();
        collect_links(&self.0, &mut links);
        links
    }
}

/// A panel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panel<'a>(pub(crate) &'a Value);

impl<'a> Panel<'a> {
    pub(crate) fn kind(self) -> &'a str {
        text(self.0, "type")
    }

    pub(crate) fn title(self) -> &'a str {
        text(self.0, "title")
    }

    pub(crate) fn targets(self) -> Vec<Target<'a>> {
        items(self.0, "targets").iter().map(Target).collect()
    }

    /// Its position: column, line, width and height.
    pub(crate) fn grid(self) -> [u64; 4] {
        ["x", "y", "w", "h"].map(|key| self.0["gridPos"][key].as_u64().unwrap_or_default())
    }

    pub(crate) fn transformations(self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        items(self.0, "transformations")
            .iter()
            .map(|transformation| (text(transformation, "id"), &transformation["options"]))
    }
}

/// A query of a panel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a>(pub(crate) &'a Value);

impl<'a> Target<'a> {
    pub(crate) fn id(self) -> &'a str {
        text(self.0, "refId")
    }

    pub(crate) fn expression(self) -> &'a str {
        text(self.0, "expr")
    }

    /// The labels in its legend.
    pub(crate) fn legend(self) -> Vec<&'a str> {
        let parts = text(self.0, "legendFormat").split("{{").skip(1);
        parts
            .filter_map(|part| part.split_once("}}"))
            .map(|(label, _)| label.trim())
            .collect()
    }

    /// Whether it is an instant query.
    pub(crate) fn is_instant(self) -> bool {
        self.0["instant"] == true
    }
}

/// A variable of a dashboard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variable<'a>(pub(crate) &'a Value);

impl<'a> Variable<'a> {
    pub(crate) fn name(self) -> &'a str {
        text(self.0, "name")
    }

    pub(crate) fn kind(self) -> &'a str {
        text(self.0, "type")
    }

    /// Selector and label of a `label_values(selector, label)`.
    pub(crate) fn label_values(self) -> Option<(&'a str, &'a str)> {
        let inside = text(&self.0["query"], "query")
            .strip_prefix("label_values(")?
            .strip_suffix(')')?;
        inside.rsplit_once(", ")
    }
}

/// A text with variables replaced by these values, written as `$name` or `${name}`; longer names must come first.
pub(crate) fn substituted(text: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value)
    })
}

/// The items of a list; empty if there is none.
pub(crate) fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// A text; empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn collect_links<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_links(item, into)),
        Value::Object(object) => {
            if object.contains_key("targetBlank") {
                into.push(text(value, "url"));
            }
            object.values().for_each(|value| collect_links(value, into));
        }
        _ => {}
    }
}
