//! Builds the targets of discovered entries.

use std::collections::{HashMap, VecDeque};
use std::iter::Enumerate;
use std::num::NonZeroU32;
use std::path::Path;
use std::rc::Rc;
use std::slice;
use std::sync::Arc;

pub use self::error::EntryError;
use self::error::EntryLabel;
use self::reader::{EntryProblems, EntryReader};
use crate::config::file_uses::Required;
use crate::config::groups::Groups;
use crate::config::keys::schema::setting_keys;
use crate::config::levels::Level;
use crate::config::modules::Modules;
use crate::config::problems::text::quoted;
use crate::config::sources::{Discovered, Source, SourceKind};
use crate::config::targets::builder::{EntryParts, TargetBuilder};
use crate::config::targets::{CollectError, Collector, Origin};
use crate::target::{Labels, Target, hide_query_values};

mod error;
mod module_label;
mod place;
mod reader;

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
    /// An invalid entry yields an error, or each of its invalid URLs does. An unknown source has no targets.
    pub fn candidates<'a>(&'a self, source: &Source, entries: &'a [Discovered]) -> Candidates<'a> {
        let Some(level) = self.sources.get(&source.name) else {
            return Candidates { reader: None, entries: [].iter().enumerate(), pending: VecDeque::new() };
        };
        let reader = Some(self.reader(source, level));
        Candidates { reader, entries: entries.iter().enumerate(), pending: VecDeque::new() }
    }

    /// Builds targets without a source.
    pub(in crate::config) fn builder(&self) -> TargetBuilder<'_> {
        TargetBuilder::new(&self.labels, &self.modules, self.groups.clone(), self.folder.clone())
    }

    /// Reads the entries of a source with this level.
    pub(in crate::config) fn reader<'a>(&'a self, source: &Source, level: &'a Level) -> EntryReader<'a> {
        EntryReader {
            builder: self.builder().with_source(level),
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

/// Iterates over the targets of entries. Each step may read one entry.
pub struct Candidates<'a> {
    /// `None` if the source does not exist.
    reader: Option<EntryReader<'a>>,
    entries: Enumerate<slice::Iter<'a, Discovered>>,
    /// The rest of the last entry.
    pending: VecDeque<Result<Candidate<'a>, EntryError>>,
}

/// The targets of one URL of an entry.
pub struct Candidate<'a> {
    label: EntryLabel<'a>,
    parts: Rc<EntryParts>,
    /// The index of the URL in the parts.
    url: usize,
}

impl<'a> Iterator for Candidates<'a> {
    type Item = Result<Candidate<'a>, EntryError>;

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
) -> VecDeque<Result<Candidate<'_>, EntryError>> {
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

    /// The targets, before their names are compared with others.
    pub fn targets(&self) -> impl Iterator<Item = Result<Arc<Target>, EntryError>> {
        let endpoints = self.parts.urls.get(self.url).into_iter().flat_map(|(_, url)| url.endpoints());
        endpoints.filter_map(|endpoint| match self.parts.name_of(&endpoint) {
            Ok(name) => self.parts.target(name, endpoint).map(Ok),
            Err(error) => Some(Err(self.error(&error.to_string()))),
        })
    }

    /// An error about these targets.
    pub fn error(&self, message: &str) -> EntryError {
        let url = self.parts.urls.get(self.url).and_then(|(index, _)| *index);
        self.label.error(url, message)
    }
}

/// Targets of one source with unique names, at most as many as `limits.targets` allows.
#[derive(Debug)]
pub struct DiscoveredTargets {
    collector: Collector,
    limit: usize,
    invalid: Vec<EntryError>,
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
    pub fn skip(&mut self, error: EntryError) {
        if self.invalid.len() < MAX_INVALID {
            self.invalid.push(error);
        }
    }

    /// The targets, and the errors of everything that was skipped.
    pub fn finish(self) -> (Vec<Arc<Target>>, Vec<EntryError>) {
        (self.collector.targets, self.invalid)
    }
}

fn describe(error: &CollectError) -> String {
    match error {
        CollectError::Name(error) => error.to_string(),
        CollectError::Taken { name, first } => format!(
            "duplicate target name {}, also used by entry {}; remove one, or set another name",
            quoted(&hide_query_values(name.as_str())),
            first.entry + 1
        ),
    }
}

/// Maximum number of errors of one source; further ones are dropped.
const MAX_INVALID: usize = 100_000;

#[cfg(test)]
mod tests;
