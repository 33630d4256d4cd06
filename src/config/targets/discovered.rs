//! What makes targets of a source's words, whenever it speaks.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use crate::config::file_uses::{Needed, Unusable};
use crate::config::groups::Groups;
use crate::config::keys::schema::{SettingKey, setting_keys};
use crate::config::levels::Layer;
use crate::config::modules::Modules;
use crate::config::problems::Problems;
use crate::config::problems::path::{At, KeyPath, Step};
use crate::config::problems::text::{OneLine, quoted};
use crate::config::sources::{Discovered, Made, Source, SourceKind};
use crate::config::targets::builder::{Maker, Parts};
use crate::config::targets::entry::Entry;
use crate::config::targets::prometheus::{self, Spelling};
use crate::config::yaml::Node;
use crate::config::yaml::duplicate_keys;
use crate::target::{Endpoint, HeaderFile, Labels, Settings, TargetName, TlsProfile};

/// What a configuration says of targets that are found later: global labels, defaults, modules, groups, and what each
/// source lends its targets.
#[derive(Debug, PartialEq)]
pub struct Blueprint {
    pub(in crate::config) labels: Labels,
    pub(in crate::config) modules: Modules,
    pub(in crate::config) groups: Groups,
    /// By the source's name.
    pub(in crate::config) sources: HashMap<Arc<str>, Layer>,
    pub(in crate::config) folder: Arc<Path>,
    pub(in crate::config) limit: Option<NonZeroU32>,
}

impl Blueprint {
    /// Makes targets of what a source of the same configuration says, no name twice. Of settings the entry's own are the
    /// nearest, then those of the source, of the module and of the defaults.
    ///
    /// What is wrong with an entry leaves out the entry; what is wrong with one URL of several leaves out that URL.
    /// `files` reads what is needed of files, and is asked once for each. There are never more targets than
    /// `limits.targets` allows. It may take seconds, and files may block.
    pub fn make(
        &self,
        source: &Source,
        entries: &[Discovered],
        files: impl FnMut(Needed<'_>) -> Result<(), Unusable>,
    ) -> Made {
        let Some(layer) = self.sources.get(&source.name) else {
            let invalid = format!("{} is no source of the configuration in force", quoted(&source.name));
            return Made { invalid: vec![invalid], ..Made::default() };
        };
        let maker = Maker::new(&self.labels, &self.modules, self.groups.clone(), self.folder.clone());
        let mut making = Making {
            maker: maker.with_source(layer),
            keys: setting_keys(),
            limit: self.limit.and_then(|limit| usize::try_from(limit.get()).ok()).unwrap_or(usize::MAX),
            is_remote: matches!(source.kind, SourceKind::Http(_)),
            files: Files { read: files, profiles: HashMap::new(), headers: HashMap::new() },
            names: HashMap::new(),
            made: Made::default(),
        };
        for (number, Discovered(node)) in (1..).zip(entries) {
            if making.add(&Subject { number, node }) == Room::None {
                break;
            }
        }
        let Files { profiles, headers, .. } = making.files;
        let unreadable = profiles.into_iter().filter_map(|(profile, fault)| fault.map(|_| profile)).collect();
        let unreadable_headers = headers.into_iter().filter_map(|(file, fault)| fault.map(|_| file)).collect();
        Made { unreadable, unreadable_headers, ..making.made }
    }
}

/// Whether there may be more targets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Room {
    Left,
    None,
}

/// Targets in the making.
struct Making<'a, F> {
    maker: Maker<'a>,
    keys: Vec<SettingKey>,
    limit: usize,
    /// Whether the entries were written on another machine.
    is_remote: bool,
    files: Files<F>,
    /// The number of the entry that each name comes from.
    names: HashMap<TargetName, usize>,
    made: Made,
}

impl<F: FnMut(Needed<'_>) -> Result<(), Unusable>> Making<'_, F> {
    fn add(&mut self, subject: &Subject<'_>) -> Room {
        let mut problems = Problems::default();
        duplicate_keys(subject.node, At::Root, &mut problems);
        let (entry, spelling) = self.entry(subject.node.clone(), &mut problems);
        if let Some(entry) = entry.as_ref().filter(|_| self.is_remote) {
            entry.layer.http.refuse_files(At::Root, &mut problems);
        }
        let parts = entry.map(|entry| self.maker.parts(&entry, At::Root, &mut problems));
        let faults = Faults::of(problems);
        if let Some(fault) = faults.of_entry(&spelling) {
            self.refuse(subject, None, &fault);
            return Room::Left;
        }
        for (index, message) in &faults.of_urls {
            self.refuse(subject, Some(*index), message);
        }
        let Some(mut parts) = parts else { return Room::Left };
        parts.urls.retain(|(index, _)| index.is_none_or(|index| !faults.of_urls.contains_key(&index)));
        self.make(&parts, subject)
    }

    fn entry(&self, node: Node, problems: &mut Problems) -> (Option<Entry>, Spelling) {
        if prometheus::is_group(&node) {
            let (entry, spelling) = prometheus::read(node, &self.keys, problems);
            return (Some(entry), spelling);
        }
        (Entry::read(node, At::Root, problems), Spelling::default())
    }

    /// Makes the targets of a good entry.
    fn make(&mut self, parts: &Parts, subject: &Subject<'_>) -> Room {
        for (index, url) in &parts.urls {
            if let Err(message) = self.files.check(parts.settings(url.protocol())) {
                self.refuse(subject, *index, &message);
                continue;
            }
            for endpoint in url.endpoints() {
                if self.made.targets.len() >= self.limit {
                    let message = format!(
                        "is left out with all that follows, for `limits.targets` allows {} targets; raise it, or set it to 0 for no limit",
                        self.limit
                    );
                    self.refuse(subject, *index, &message);
                    return Room::None;
                }
                if let Err(message) = self.push(parts, endpoint, subject.number) {
                    self.refuse(subject, *index, &message);
                }
            }
        }
        Room::Left
    }

    fn push(&mut self, parts: &Parts, endpoint: Endpoint, number: usize) -> Result<(), String> {
        let name = parts.name_of(&endpoint).map_err(|error| error.to_string())?;
        if let Some(first) = self.names.get(&name) {
            let name = quoted(name.as_str());
            return Err(format!(
                "{name} is a target of this source already, by entry {first}; remove one or give one another name"
            ));
        }
        self.names.insert(name.clone(), number);
        self.made.targets.extend(parts.target(name, endpoint));
        Ok(())
    }

    /// Notes what is left out, a whole entry or a URL of it.
    fn refuse(&mut self, subject: &Subject<'_>, url: Option<usize>, message: &str) {
        if self.made.invalid.len() < MAX_INVALID {
            let line = format!("entry {}{}: {message}", subject.number, subject.words(url));
            self.made.invalid.push(OneLine(&line).to_string());
        }
    }
}

/// An entry, and how messages name it.
#[derive(Clone, Copy, Debug)]
struct Subject<'a> {
    /// Counted from 1.
    number: usize,
    node: &'a Node,
}

impl Subject<'_> {
    /// The entry's first URL, or the one of this index, as far as there is one.
    fn words(self, url: Option<usize>) -> String {
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

/// What is wrong with one entry.
struct Faults {
    /// With all of it.
    of_all: Vec<(KeyPath, String)>,
    /// With one of its URLs each.
    of_urls: BTreeMap<usize, String>,
}

impl Faults {
    fn of(problems: Problems) -> Self {
        let mut faults = Self { of_all: Vec::new(), of_urls: BTreeMap::new() };
        for (place, message) in problems.into_found() {
            match &*place.steps {
                [Step::Key(key), Step::Item(index)] if &**key == "urls" => {
                    faults.of_urls.entry(*index).or_insert(message);
                }
                _ => faults.of_all.push((place, message)),
            }
        }
        faults
    }

    /// The first fault of the whole entry, and how many there are besides.
    fn of_entry(&self, spelling: &Spelling) -> Option<String> {
        let (place, message) = self.of_all.first()?;
        let place = match spelling.of(place) {
            place if place.is_empty() => place,
            place => format!("{place}: "),
        };
        Some(match self.of_all.len() {
            1 => format!("{place}{message}"),
            count => format!("{place}{message} (and {} more)", count - 1),
        })
    }
}

/// What the files of each profile, and those of headers, were found to be.
struct Files<F> {
    read: F,
    profiles: HashMap<Arc<TlsProfile>, Option<String>>,
    headers: HashMap<Arc<HeaderFile>, Option<String>>,
}

impl<F: FnMut(Needed<'_>) -> Result<(), Unusable>> Files<F> {
    /// Whether the files that these settings need can be used; what is wrong with the first that cannot.
    fn check(&mut self, settings: Option<&Arc<Settings>>) -> Result<(), String> {
        let Some(probe_kind) = settings.map(|settings| &settings.probe_kind) else { return Ok(()) };
        let Self { read, profiles, headers } = self;
        let mut fault = |needed: Needed<'_>| read(needed).err().map(Unusable::into_message);
        if let Some(tls) = probe_kind.tls() {
            let profile = &tls.settings.profile;
            let known = profiles.entry(profile.clone()).or_insert_with(|| fault(Needed::Tls(profile)));
            known.clone().map_or(Ok(()), Err)?;
        }
        for (_, file) in probe_kind.http().into_iter().flat_map(|http| &http.headers_files) {
            let known = headers.entry(file.clone()).or_insert_with(|| fault(Needed::Header(file)));
            known.clone().map_or(Ok(()), Err)?;
        }
        Ok(())
    }
}

/// More lines than anybody reads; what is wrong beyond is left out without one.
const MAX_INVALID: usize = 100_000;

#[cfg(test)]
mod tests;
