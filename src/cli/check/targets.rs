//! The listing of `portprobe check --targets`: every target with its settings and their origins.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;

use crate::config::{Config, EffectiveEntry, EffectiveSetting, Explainer, Origin, Position, SourceKind};
use crate::discovery;
use crate::target::{TargetName, hide_query_values};

/// Lists the targets of a valid configuration at `path` with this text, then those of its source files.
pub(super) fn list(config: &Config, path: &Path, text: &str) -> String {
    let explainer = Explainer::new(&config.discovery_context, path, text);
    let limit = config.limits.targets.and_then(|limit| usize::try_from(limit.get()).ok());
    let mut listing = Listing { text: String::new(), names: HashSet::new(), limit: limit.unwrap_or(usize::MAX) };
    listing.add(explainer.entries());
    for source in &config.discovery {
        let SourceKind::File { pattern } = &source.kind else { continue };
        for file in discovery::files_of(pattern).unwrap_or_default() {
            if let Ok((text, entries)) = discovery::read_file(&file) {
                listing.add(explainer.discovered(source, &file, &text, &entries));
            }
        }
    }
    listing.text
}

struct Listing {
    text: String,
    /// Each name is listed once, like the daemon probes it.
    names: HashSet<TargetName>,
    limit: usize,
}

impl Listing {
    fn add(&mut self, entries: Vec<EffectiveEntry>) {
        for EffectiveEntry { targets, settings } in entries {
            let before = self.names.len();
            for target in targets {
                if self.names.len() < self.limit && self.names.insert(target.name.clone()) {
                    self.text.push_str(&hide_query_values(target.name.as_str()));
                    self.text.push('\n');
                }
            }
            if self.names.len() > before {
                self.add_settings(&settings);
            }
        }
    }

    /// Adds a line for each setting, the origins below each other.
    fn add_settings(&mut self, settings: &[EffectiveSetting]) {
        let values: Vec<_> = settings
            .iter()
            .map(|setting| format!("{}: {}", setting.key, setting.value))
            .collect();
        let lengths = values.iter().map(|value| value.chars().count());
        let width = lengths.filter(|length| *length <= MAX_WIDTH).max().unwrap_or(0);
        for (value, setting) in values.iter().zip(settings) {
            // Writing to memory does not fail.
            let _ = writeln!(self.text, "  {value:width$}  # {}", origin(&setting.origin));
        }
    }
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Default => "default".to_owned(),
        Origin::Interval => "limited by the interval".to_owned(),
        Origin::Key { file, position, key } => {
            let position = position
                .map(|Position { line, column }| format!(":{line}:{column}"))
                .unwrap_or_default();
            format!("{}{position}: {key}", file.display())
        }
    }
}

/// A longer value does not move the origins of the others.
const MAX_WIDTH: usize = 40;
