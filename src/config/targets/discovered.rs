//! Builds the targets of discovered entries.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::iter::Enumerate;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::Path;
use std::rc::Rc;
use std::slice;
use std::sync::Arc;

use crate::config::file_uses::{FileUses, Required};
use crate::config::groups::Groups;
use crate::config::keys::schema::{SettingKey, setting_keys};
use crate::config::levels::Level;
use crate::config::modules::Modules;
use crate::config::problems::path::{KeyPath, Step};
use crate::config::problems::text::{OneLine, quoted};
use crate::config::problems::{At, Problems};
use crate::config::sources::{Discovered, Source, SourceKind};
use crate::config::targets::builder::{EntryParts, TargetBuilder};
use crate::config::targets::entry::TargetEntry;
use crate::config::targets::prometheus::{self, LabelOrigins};
use crate::config::targets::{CollectError, Collector, Origin};
use crate::config::yaml::Node;
use crate::target::{Labels, Target};

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
    /// The targets of a source's entries, URL by URL, before names and the limit are checked. The nearest settings are
    /// those of the entry, then those of its source, its module and the defaults.
    ///
    /// An invalid entry yields an error, or each of its invalid URLs; the error is a line for the log.
    pub fn candidates<'a>(&'a self, source: &Source, entries: &'a [Discovered]) -> Candidates<'a> {
        let Some(level) = self.sources.get(&source.name) else {
            let unknown = format!("{} is not a source of the current configuration", quoted(&source.name));
            return Candidates { reader: None, entries: [].iter().enumerate(), pending: [Err(unknown)].into() };
        };
        let reader = Some(self.reader(source, level));
        Candidates { reader, entries: entries.iter().enumerate(), pending: VecDeque::new() }
    }

    /// The place of the first target with this name among the entries of a source. Adds all names before it to `names`.
    pub(in crate::config) fn find<'a>(
        &self,
        source: &Source,
        entries: &'a [Discovered],
        name: &str,
        names: &mut Vec<String>,
    ) -> Option<Place<'a>> {
        for candidate in self.candidates(source, entries).flatten() {
            let (index, url) = candidate.parts.urls.get(candidate.url)?;
            for endpoint in url.endpoints() {
                let Ok(found) = candidate.parts.name_of(&endpoint) else { continue };
                if found.as_str() == name {
                    let entry = entries.get(candidate.label.index)?;
                    return Some(Place { entry, url: *index, port: endpoint.port });
                }
                names.push(found.to_string());
            }
        }
        None
    }

    /// The target at a place of a source, with a level that wins over its settings, and its files. `None` if the source
    /// is unknown; no target if there is a problem.
    pub(in crate::config) fn target(
        &self,
        source: &Source,
        place: Place<'_>,
        overlay: &Level,
        problems: &Problems,
    ) -> Option<(Option<Arc<Target>>, FileUses)> {
        let mut reader = self.reader(source, self.sources.get(&source.name)?);
        reader.builder = reader.builder.with_overlay(overlay);
        let Place { entry: Discovered(node), url: place, port } = place;
        let found = Problems::default();
        let at = found.argument("NAME");
        let target = reader.entry(node.clone(), at).0.and_then(|entry| {
            let parts = reader.builder.parts(&entry, at);
            let (_, url) = parts.urls.iter().find(|(index, _)| *index == place)?;
            let endpoint = url.endpoints().find(|endpoint| endpoint.port == port)?;
            parts.target(parts.name_of(&endpoint).ok()?, endpoint)
        });
        for (path, message) in found.into_found() {
            if path.url_index().is_none_or(|index| Some(index) == place) {
                problems.refuse(path, message);
            }
        }
        Some((target, reader.builder.files))
    }

    fn reader<'a>(&'a self, source: &Source, level: &'a Level) -> EntryReader<'a> {
        let builder = TargetBuilder::new(&self.labels, &self.modules, self.groups.clone(), self.folder.clone());
        EntryReader {
            builder: builder.with_source(level),
            keys: setting_keys(),
            is_remote: matches!(source.kind, SourceKind::Http(_)),
        }
    }

    /// Collects targets of one source; none yet.
    pub fn targets(&self) -> DiscoveredTargets {
        let limit = self
            .limit
            .and_then(|limit| usize::try_from(limit.get()).ok())
            .unwrap_or(usize::MAX);
        DiscoveredTargets { collector: Collector::default(), limit, invalid: Vec::new() }
    }
}

/// The place of a target: an entry, its URL if it has a list of them, and the port.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Place<'a> {
    entry: &'a Discovered,
    url: Option<usize>,
    port: NonZeroU16,
}

/// Iterates over the targets of entries. Each step may read one entry.
pub struct Candidates<'a> {
    /// `None` if the source does not exist.
    reader: Option<EntryReader<'a>>,
    entries: Enumerate<slice::Iter<'a, Discovered>>,
    /// The rest of the last entry.
    pending: VecDeque<Result<Candidate<'a>, String>>,
}

/// The targets of one URL of an entry.
pub struct Candidate<'a> {
    label: EntryLabel<'a>,
    parts: Rc<EntryParts>,
    /// The index of the URL in the parts.
    url: usize,
}

impl<'a> Iterator for Candidates<'a> {
    type Item = Result<Candidate<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.pending.is_empty() {
            let (index, Discovered(node)) = self.entries.next()?;
            let (parts, problems) = self.reader.as_mut()?.read(node.clone());
            self.pending = candidates(EntryLabel { index, node }, parts, problems);
        }
        self.pending.pop_front()
    }
}

/// The valid URLs of an entry after the errors of its invalid ones, or the error of the entry.
fn candidates(
    label: EntryLabel<'_>,
    parts: Option<EntryParts>,
    problems: EntryProblems,
) -> VecDeque<Result<Candidate<'_>, String>> {
    if let Some(problem) = problems.of_entry {
        return [Err(label.error(None, &problem))].into();
    }
    let errors = problems
        .of_urls
        .iter()
        .map(|(index, problem)| Err(label.error(Some(*index), problem)));
    let mut candidates: VecDeque<_> = errors.collect();
    if let Some(mut parts) = parts {
        parts
            .urls
            .retain(|(index, _)| index.is_none_or(|index| !problems.of_urls.contains_key(&index)));
        let parts = Rc::new(parts);
        candidates.extend((0..parts.urls.len()).map(|url| Ok(Candidate { label, parts: parts.clone(), url })));
    }
    candidates
}

impl Candidate<'_> {
    /// Everything that must be read from files for these targets.
    pub fn required(&self) -> Vec<Required> {
        let url = self.parts.urls.get(self.url);
        let Some(settings) = url.and_then(|(_, url)| self.parts.settings(url.protocol())) else { return Vec::new() };
        let tls = settings.probe_kind.tls().map(|tls| Required::Tls(tls.settings.profile.clone()));
        let headers = settings.probe_kind.http().into_iter().flat_map(|http| &http.headers_files);
        tls.into_iter()
            .chain(headers.map(|(_, file)| Required::Header(file.clone())))
            .collect()
    }

    /// A line for the log if these targets are skipped.
    pub fn error(&self, message: &str) -> String {
        let url = self.parts.urls.get(self.url).and_then(|(index, _)| *index);
        self.label.error(url, message)
    }
}

/// Targets of one source with unique names, at most as many as `limits.targets` allows.
#[derive(Debug)]
pub struct DiscoveredTargets {
    collector: Collector,
    limit: usize,
    invalid: Vec<String>,
}

/// Whether more targets are allowed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Capacity {
    /// The limit has been exceeded.
    Exhausted,
    /// The limit has not been exceeded yet.
    Left,
}

impl DiscoveredTargets {
    /// Adds the targets of a URL; those with a name that is taken are skipped.
    pub fn add(&mut self, candidate: &Candidate<'_>) -> Capacity {
        let Candidate { label, parts, url } = candidate;
        let Some((index, url)) = parts.urls.get(*url) else { return Capacity::Left };
        for endpoint in url.endpoints() {
            if self.collector.targets.len() >= self.limit {
                let message = format!(
                    "skipped, like all later entries: `limits.targets` is {}; raise it, or set it to 0 for no limit",
                    self.limit
                );
                self.skip(candidate.error(&message));
                return Capacity::Exhausted;
            }
            let origin = Origin { entry: label.index, url: *index };
            if let Err(error) = self.collector.push(parts, endpoint, origin) {
                self.skip(candidate.error(&describe(&error)));
            }
        }
        Capacity::Left
    }

    /// Records the error of an entry or URL that is skipped.
    pub fn skip(&mut self, error: String) {
        if self.invalid.len() < MAX_INVALID {
            self.invalid.push(error);
        }
    }

    /// The targets, and the errors of everything that was skipped.
    pub fn finish(self) -> (Vec<Arc<Target>>, Vec<String>) {
        (self.collector.targets, self.invalid)
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
    fn read(&mut self, node: Node) -> (Option<EntryParts>, EntryProblems) {
        let problems = Problems::default();
        let at = problems.document();
        let (entry, origins) = self.entry(node, at);
        if let Some(entry) = entry.as_ref().filter(|_| self.is_remote) {
            entry.level.refuse_header_files(at);
        }
        let parts = entry.map(|entry| self.builder.parts(&entry, at));
        (parts, EntryProblems::new(problems, &origins))
    }

    /// The entry, and the labels that set its settings.
    fn entry(&self, mut node: Node, at: At<'_>) -> (Option<TargetEntry>, LabelOrigins) {
        node.refuse_duplicate_keys(at);
        if prometheus::is_group(&node) {
            let (entry, origins) = prometheus::read(node, &self.keys, at);
            return (Some(entry), origins);
        }
        (TargetEntry::read(node, at), LabelOrigins::default())
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
            match path.url_index() {
                Some(index) => {
                    of_urls.entry(index).or_insert(message);
                }
                None => of_entry.push((path, message)),
            }
        }
        Self { of_entry: first_of(&of_entry, origins), of_urls }
    }
}

impl KeyPath {
    /// The index of the URL that the problem at this path of an entry is about.
    fn url_index(&self) -> Option<usize> {
        match &*self.steps {
            [Step::Key(key), Step::Item(index)] if &**key == "urls" => Some(*index),
            _ => None,
        }
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

fn describe(error: &CollectError) -> String {
    match error {
        CollectError::Name(error) => error.to_string(),
        CollectError::Taken { name, first } => format!(
            "duplicate target name {}, also used by entry {}; remove one, or set another name",
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
    /// A line for the log about the entry, or about the URL with this index.
    fn error(self, url: Option<usize>, message: &str) -> String {
        OneLine(&format!("entry {}{}: {message}", self.index + 1, self.url(url))).to_string()
    }

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

/// More errors than anyone reads; further ones are dropped.
const MAX_INVALID: usize = 100_000;

#[cfg(test)]
mod tests;
