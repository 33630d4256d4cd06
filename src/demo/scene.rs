//! A state to demonstrate: a target with its settings and a description. Only values and their YAML.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Write as _};
use std::net::SocketAddr;

/// A target of the demo.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    /// The name of the target.
    pub(super) name: &'static str,
    /// Its address as `host:port`, or a URL if it is not plain TCP.
    pub(super) endpoint: String,
    /// Its expected state and, if it is down, the class of the failure.
    pub(super) state: &'static str,
    /// A short description.
    pub(super) shows: &'static str,
    settings: Vec<(&'static str, String)>,
}

impl Scene {
    /// Creates a target without settings of its own.
    pub(super) fn new(name: &'static str, endpoint: impl Display, state: &'static str, shows: &'static str) -> Self {
        Self { name, endpoint: endpoint.to_string(), state, shows, settings: Vec::new() }
    }

    /// Adds a setting, with its value as YAML.
    #[must_use]
    pub(super) fn with(mut self, key: &'static str, value: impl Display) -> Self {
        self.settings.push((key, value.to_string()));
        self
    }
}

impl Display for Scene {
    /// Writes an item of `targets`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "- url: {}", self.endpoint)?;
        writeln!(f, "  name: {}", self.name)?;
        writeln!(f, "  labels: {{ shows: {} }}", quoted(self.shows))?;
        self.settings
            .iter()
            .try_for_each(|(key, value)| writeln!(f, "  {key}: {value}"))
    }
}

/// Returns the configuration of all scenes; `name_server` resolves every name.
pub(super) fn configuration(scenes: &[Scene], name_server: SocketAddr) -> String {
    let mut yaml = format!(
        "defaults: {{ interval: 1s, timeout: 800ms, confirm: {{ delay: 100ms }}, dns_servers: ['{name_server}'] }}\n\
         limits: {{ in_flight: {} }}\n",
        scenes.len()
    );
    yaml.push_str("groups:\n");
    for group in groups(scenes) {
        // Writing to a string does not fail.
        let _ = writeln!(yaml, "  {group}: {{ min_up: 1 }}");
    }
    yaml.push_str("targets:\n");
    for scene in scenes {
        let _ = write!(yaml, "{scene}");
    }
    yaml
}

/// Returns every group of the scenes, once.
fn groups(scenes: &[Scene]) -> BTreeSet<&str> {
    let settings = scenes.iter().flat_map(|scene| &scene.settings);
    settings
        .filter(|(key, _)| *key == "group")
        .map(|(_, group)| group.as_str())
        .collect()
}

/// Quotes a scalar with single quotes, in which only quotes must be escaped.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    #[test]
    fn scenes_become_a_configuration() {
        let scenes = [
            Scene::new("a", "127.0.0.1:1", "up", "it's a: 'b', {c} # d").with("group", "g"),
            Scene::new("b", "b.test:2", "up", "b")
                .with("group", "g")
                .with("expect", "closed"),
        ];
        let yaml = configuration(&scenes, "127.0.0.1:53".parse().unwrap());
        let config = config::parse(&yaml, Path::new("demo"), &|_| None).unwrap().finish(&[]).unwrap();
        assert_eq!(config.groups.len(), 1);
        let target = &config.targets[0];
        assert_eq!((target.name.as_str(), target.endpoint.to_string()), ("a", "tcp://127.0.0.1:1".into()));
        assert!(format!("{:?}", target.labels).contains("it's a: 'b', {c} # d"), "{:?}", target.labels);
    }
}
