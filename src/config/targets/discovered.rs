//! Builds the targets of discovered entries.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use crate::config::file_uses::{Required, Unreadable};
use crate::config::groups::Groups;
use crate::config::keys::schema::{SettingKey, setting_keys};
use crate::config::levels::Level;
use crate::config::modules::Modules;
use crate::config::problems::Problems;
use crate::config::problems::path::{KeyPath, Step};
use crate::config::problems::text::{OneLine, quoted};
use crate::config::sources::{BuiltTargets, Discovered, Source, SourceKind};
use crate::config::targets::builder::{EntryParts, TargetBuilder};
use crate::config::targets::entry::TargetEntry;
use crate::config::targets::prometheus::{self, LabelOrigins};
use crate::config::targets::{CollectError, Collector, Origin};
use crate::config::yaml::Node;
use crate::target::{HeaderFile, Labels, Settings, TlsProfile};

/// Everything in a configuration that targets from discovery depend on.
#[derive(Debug, PartialEq)]
pub struct DiscoveryContext {
    pub(in crate::config) labels: Labels,
    pub(in crate::config) modules: Modules,
    pub(in crate::config) groups: Groups,
    /// The settings of each source's targets, by the source's name.
    pub(in crate::config) sources: HashMap<Arc<str>, Level>,
    pub(in crate::config) folder: Arc<Path>,
    pub(in crate::config) limit: Option<NonZeroU32>,
}

impl DiscoveryContext {
    /// Builds targets with unique names from the entries of a source. The nearest settings are those of the entry, then
    /// those of its source, its module and the defaults.
    ///
    /// An invalid entry is skipped, or only its invalid URLs. `files` reads each required file once. There are never more
    /// targets than `limits.targets` allows. It may take seconds, and files may block.
    pub fn build(
        &self,
        source: &Source,
        entries: &[Discovered],
        files: impl FnMut(Required<'_>) -> Result<(), Unreadable>,
    ) -> BuiltTargets {
        let Some(level) = self.sources.get(&source.name) else {
            let invalid = format!("{} is no source of the configuration in force", quoted(&source.name));
            return BuiltTargets { invalid: vec![invalid], ..BuiltTargets::default() };
        };
        let builder = TargetBuilder::new(&self.labels, &self.modules, self.groups.clone(), self.folder.clone());
        let mut reader = EntryReader {
            builder: builder.with_source(level),
            keys: setting_keys(),
            is_remote: matches!(source.kind, SourceKind::Http(_)),
        };
        let mut building = Building {
            collector: Collector::default(),
            limit: self.limit.and_then(|limit| usize::try_from(limit.get()).ok()).unwrap_or(usize::MAX),
            files: Files { read: files, profiles: HashMap::new(), headers: HashMap::new() },
            invalid: Vec::new(),
        };
        for (index, Discovered(node)) in entries.iter().enumerate() {
            let (parts, problems) = reader.read(node.clone());
            if building.add(parts, problems, EntryLabel { index, node }) == Capacity::Exhausted {
                break;
            }
        }
        building.finish()
    }
}

/// Reads the entries of one source.
struct EntryReader<'a> {
    builder: TargetBuilder<'a>,
    keys: Vec<SettingKey>,
    /// Whether the entries come from another machine.
    is_remote: bool,
}

impl EntryReader<'_> {
    fn read(&mut self, mut node: Node) -> (Option<EntryParts>, EntryProblems) {
        let problems = Problems::default();
        let at = problems.document();
        node.refuse_duplicate_keys(at);
        let (entry, origins) = if prometheus::is_group(&node) {
            let (entry, origins) = prometheus::read(node, &self.keys, at);
            (Some(entry), origins)
        } else {
            (TargetEntry::read(node, at), LabelOrigins::default())
        };
        if let Some(entry) = entry.as_ref().filter(|_| self.is_remote) {
            entry.level.refuse_header_files(at);
        }
        let parts = entry.map(|entry| self.builder.parts(&entry, at));
        (parts, EntryProblems::new(problems, &origins))
    }
}

/// The problems of one entry.
struct EntryProblems {
    /// Why the whole entry is invalid.
    of_entry: Option<String>,
    /// Why URLs are invalid, by their index.
    of_urls: BTreeMap<usize, String>,
}

impl EntryProblems {
    fn new(problems: Problems, origins: &LabelOrigins) -> Self {
        let (mut of_entry, mut of_urls) = (Vec::new(), BTreeMap::new());
        for (path, message) in problems.into_found() {
            match &*path.steps {
                [Step::Key(key), Step::Item(index)] if &**key == "urls" => {
                    of_urls.entry(*index).or_insert(message);
                }
                _ => of_entry.push((path, message)),
            }
        }
        Self { of_entry: first_of(&of_entry, origins), of_urls }
    }
}

/// The first problem, and how many more there are.
fn first_of(problems: &[(KeyPath, String)], origins: &LabelOrigins) -> Option<String> {
    let (path, message) = problems.first()?;
    let path = match origins.describe(path) {
        path if path.is_empty() => path,
        path => format!("{path}: "),
    };
    Some(match problems.len() {
        1 => format!("{path}{message}"),
        count => format!("{path}{message} (and {} more)", count - 1),
    })
}

/// Whether more targets are allowed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Capacity {
    Exhausted,
    Left,
}

/// The targets so far.
struct Building<F> {
    collector: Collector,
    limit: usize,
    files: Files<F>,
    /// A line for each entry or URL that is skipped.
    invalid: Vec<String>,
}

impl<F: FnMut(Required<'_>) -> Result<(), Unreadable>> Building<F> {
    /// Adds the targets of an entry without those of invalid URLs.
    fn add(&mut self, parts: Option<EntryParts>, problems: EntryProblems, label: EntryLabel<'_>) -> Capacity {
        if let Some(problem) = problems.of_entry {
            self.skip(label, None, &problem);
            return Capacity::Left;
        }
        for (index, problem) in &problems.of_urls {
            self.skip(label, Some(*index), problem);
        }
        let Some(mut parts) = parts else { return Capacity::Left };
        parts.urls.retain(|(index, _)| index.is_none_or(|index| !problems.of_urls.contains_key(&index)));
        self.collect(&parts, label)
    }

    fn collect(&mut self, parts: &EntryParts, label: EntryLabel<'_>) -> Capacity {
        for (url, endpoints) in &parts.urls {
            if let Err(message) = self.files.check(parts.settings(endpoints.protocol())) {
                self.skip(label, *url, &message);
                continue;
            }
            for endpoint in endpoints.endpoints() {
                if self.collector.targets.len() >= self.limit {
                    let message = format!(
                        "is left out with all that follows, for `limits.targets` allows {} targets; raise it, or set it to 0 for no limit",
                        self.limit
                    );
                    self.skip(label, *url, &message);
                    return Capacity::Exhausted;
                }
                let origin = Origin { entry: label.index, url: *url };
                if let Err(error) = self.collector.push(parts, endpoint, origin) {
                    self.skip(label, *url, &describe(&error));
                }
            }
        }
        Capacity::Left
    }

    /// Notes that an entry, or one of its URLs, is skipped.
    fn skip(&mut self, label: EntryLabel<'_>, url: Option<usize>, message: &str) {
        if self.invalid.len() < MAX_INVALID {
            let line = format!("entry {}{}: {message}", label.index + 1, label.url(url));
            self.invalid.push(OneLine(&line).to_string());
        }
    }

    fn finish(self) -> BuiltTargets {
        let Files { profiles, headers, .. } = self.files;
        BuiltTargets {
            targets: self.collector.targets,
            invalid: self.invalid,
            unreadable: profiles.into_iter().filter_map(|(profile, error)| error.map(|_| profile)).collect(),
            unreadable_headers: headers.into_iter().filter_map(|(file, error)| error.map(|_| file)).collect(),
        }
    }
}

fn describe(error: &CollectError) -> String {
    match error {
        CollectError::Name(error) => error.to_string(),
        CollectError::Taken { name, first } => format!(
            "{} is a target of this source already, by entry {}; remove one or give one another name",
            quoted(name.as_str()),
            first.entry + 1
        ),
    }
}

/// How messages name an entry.
#[derive(Clone, Copy, Debug)]
struct EntryLabel<'a> {
    index: usize,
    node: &'a Node,
}

impl EntryLabel<'_> {
    /// The entry's first URL, or the one of this index, if it has one.
    fn url(self, url: Option<usize>) -> String {
        let shown = |node: &Node| match node {
            Node::Text(text) => format!(", {}", quoted(text)),
            _ => String::new(),
        };
        let Node::Mapping(entries) = self.node else { return shown(self.node) };
        let urls = entries.iter().find(|(key, _)| matches!(&**key, "targets" | "url" | "urls"));
        match (urls, url) {
            (Some((_, Node::List(urls))), Some(index)) => urls.get(index).map(shown).unwrap_or_default(),
            (Some((_, Node::List(urls))), None) => {
                let first = urls.first().map(shown).unwrap_or_default();
                let more = if urls.len() > 1 { format!(" and {} more", urls.len() - 1) } else { String::new() };
                format!("{first}{more}")
            }
            (Some((_, one)), _) => shown(one),
            (None, _) => String::new(),
        }
    }
}

/// The files so far, each with its error.
struct Files<F> {
    read: F,
    profiles: HashMap<Arc<TlsProfile>, Option<String>>,
    headers: HashMap<Arc<HeaderFile>, Option<String>>,
}

impl<F: FnMut(Required<'_>) -> Result<(), Unreadable>> Files<F> {
    /// Reads the files that these settings require; returns the first error.
    fn check(&mut self, settings: Option<&Arc<Settings>>) -> Result<(), String> {
        let Some(probe_kind) = settings.map(|settings| &settings.probe_kind) else { return Ok(()) };
        let Self { read, profiles, headers } = self;
        let mut error = |required: Required<'_>| read(required).err().map(Unreadable::into_message);
        if let Some(tls) = probe_kind.tls() {
            let profile = &tls.settings.profile;
            let known = profiles.entry(profile.clone()).or_insert_with(|| error(Required::Tls(profile)));
            known.clone().map_or(Ok(()), Err)?;
        }
        for (_, file) in probe_kind.http().into_iter().flat_map(|http| &http.headers_files) {
            let known = headers.entry(file.clone()).or_insert_with(|| error(Required::Header(file)));
            known.clone().map_or(Ok(()), Err)?;
        }
        Ok(())
    }
}

/// More lines than anyone reads; further ones are dropped.
const MAX_INVALID: usize = 100_000;

#[cfg(test)]
mod tests;
