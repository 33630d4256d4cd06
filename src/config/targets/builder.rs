//! Builds targets from entries of the file or of a source.

use std::collections::HashSet;
use std::hash::Hash;
use std::path::Path;
use std::sync::Arc;

use crate::config::file_uses::FileUses;
use crate::config::groups::Groups;
use crate::config::levels::tls::uncertifiable;
use crate::config::levels::{Level, Levels};
use crate::config::modules::Modules;
use crate::config::problems::text::quoted;
use crate::config::problems::{At, Problems};
use crate::config::targets::entry::TargetEntry;
use crate::target::{Endpoint, Group, Labels, NameError, Protocol, Settings, Target, TargetName, TargetUrl};

/// Builds targets, which share equal settings, labels and TLS profiles.
pub(in crate::config) struct TargetBuilder<'a> {
    labels: &'a Labels,
    modules: &'a Modules,
    overlay: Option<&'a Level>,
    source: Option<&'a Level>,
    pub(in crate::config) groups: Groups,
    shared_settings: Shared<Settings>,
    shared_labels: Shared<Labels>,
    pub(in crate::config) files: FileUses,
}

impl<'a> TargetBuilder<'a> {
    /// Builds targets with these global labels, modules and groups. Paths are relative to `folder`.
    pub(in crate::config) fn new(labels: &'a Labels, modules: &'a Modules, groups: Groups, folder: Arc<Path>) -> Self {
        Self {
            labels,
            modules,
            overlay: None,
            source: None,
            groups,
            shared_settings: Shared(HashSet::new()),
            shared_labels: Shared(HashSet::new()),
            files: FileUses::new(folder),
        }
    }

    /// Adds a level that takes precedence over those of the targets.
    pub(in crate::config) fn with_overlay(self, overlay: &'a Level) -> Self {
        Self { overlay: Some(overlay), ..self }
    }

    /// Adds a level over which those of the targets take precedence.
    pub(in crate::config) fn with_source(self, source: &'a Level) -> Self {
        Self { source: Some(source), ..self }
    }

    /// The parts that all targets of an entry share.
    pub(in crate::config) fn parts(&mut self, entry: &TargetEntry, at: At<'_>) -> EntryParts {
        let problems = at.problems();
        self.groups.check(&entry.level, problems);
        let (levels, own) = self.levels(entry, problems);
        let levels = Levels { all: &levels, problems };
        let urls = entry.urls(levels, at);
        let count = urls.iter().map(|(_, url)| url.count()).sum();
        let group = levels.nearest(|keys| keys.group.get());
        let labels = self.labels.overlaid(&levels.labels());
        let count_of_labels = labels.iter().len();
        if count_of_labels > Labels::MAX {
            at.key("labels").refuse(format_args!(
                "results in {count_of_labels} labels; must be at most {}, including inherited ones",
                Labels::MAX
            ));
        }
        if let Some((_, script)) = levels.script() {
            script.check_labels(&labels, problems);
        }
        let settings = self.settings(levels, own, &urls);
        check_server_names(entry, &urls, &settings, at);
        EntryParts {
            name: entry.name.as_deref().and_then(|name| only_name(name, count, at.key("name"))),
            urls,
            count,
            group: group.and_then(|(_, group)| self.groups.join(group, count)),
            settings,
            labels: self.shared_labels.of(labels),
        }
    }

    /// The levels that apply to an entry, the nearest first, and the number of those before the module.
    pub(in crate::config) fn levels<'e>(&self, entry: &'e TargetEntry, problems: &Problems) -> (Vec<&'e Level>, usize)
    where
        'a: 'e,
    {
        let own: Vec<_> = self.overlay.into_iter().chain([&entry.level]).chain(self.source).collect();
        (self.modules.levels(&own, problems), own.len())
    }

    /// The settings of each protocol of these URLs.
    fn settings(
        &mut self,
        levels: Levels<'_>,
        own: usize,
        urls: &[(Option<usize>, TargetUrl)],
    ) -> Vec<(Protocol, Arc<Settings>)> {
        let common = levels.settings();
        let mut settings: Vec<(Protocol, Arc<Settings>)> = Vec::new();
        for (_, url) in urls {
            let protocol = url.protocol();
            if settings.iter().all(|(known, _)| *known != protocol) {
                if let Protocol::Service(service, _) = protocol {
                    levels.check_interval(service, common.cadence.interval());
                }
                let probe_kind = levels.probe_kind(protocol, own, &mut self.files);
                settings.push((protocol, self.shared_settings.of(Settings { probe_kind, ..common.clone() })));
            }
        }
        if !settings.is_empty() && settings.iter().all(|(_, settings)| settings.probe_kind.tls().is_none()) {
            levels.refuse_tls(own);
        }
        if !settings.is_empty() && settings.iter().all(|(_, settings)| settings.probe_kind.http().is_none()) {
            levels.refuse_http(own);
        }
        settings
    }
}

/// The parts that all targets of an entry share.
pub(in crate::config) struct EntryParts {
    pub(in crate::config) name: Option<TargetName>,
    /// Each URL, with its index if the entry has a list.
    pub(in crate::config) urls: Vec<(Option<usize>, TargetUrl)>,
    /// The number of endpoints of the URLs.
    pub(in crate::config) count: usize,
    group: Option<Arc<Group>>,
    /// The settings of each protocol of the URLs.
    settings: Vec<(Protocol, Arc<Settings>)>,
    labels: Arc<Labels>,
}

impl EntryParts {
    /// The name of an endpoint's target.
    pub(in crate::config) fn name_of(&self, endpoint: &Endpoint) -> Result<TargetName, NameError> {
        self.name.clone().map_or_else(|| TargetName::try_new(&endpoint.to_string()), Ok)
    }

    /// The settings of one of the URLs' protocols.
    pub(in crate::config) fn settings(&self, protocol: Protocol) -> Option<&Arc<Settings>> {
        settings_of(&self.settings, protocol)
    }

    /// The target of an endpoint of a URL.
    pub(in crate::config) fn target(&self, name: TargetName, endpoint: Endpoint) -> Option<Arc<Target>> {
        let settings = self.settings(endpoint.protocol)?.clone();
        let (labels, group) = (Arc::clone(&self.labels), self.group.clone());
        Some(Arc::new(Target { name, endpoint, labels, group, settings }))
    }
}

fn settings_of(settings: &[(Protocol, Arc<Settings>)], protocol: Protocol) -> Option<&Arc<Settings>> {
    settings
        .iter()
        .find(|(known, _)| *known == protocol)
        .map(|(_, settings)| settings)
}

/// Reports hosts that no certificate can contain, if the name is verified.
fn check_server_names(
    entry: &TargetEntry,
    urls: &[(Option<usize>, TargetUrl)],
    settings: &[(Protocol, Arc<Settings>)],
    at: At<'_>,
) {
    for (index, url) in urls {
        let tls = settings_of(settings, url.protocol()).and_then(|settings| settings.probe_kind.tls());
        if let Some(message) = tls.and_then(|tls| uncertifiable(url.host(), &tls.settings)) {
            entry.refuse_url(*index, at, &message);
        }
    }
}

/// The name of an entry, which only one endpoint can have.
fn only_name(name: &str, endpoints: usize, at: At<'_>) -> Option<TargetName> {
    if endpoints > 1 {
        let name = quoted(name);
        at.refuse(format_args!(
            "{name} would name {endpoints} targets; must name one; split the entry, or remove the name"
        ));
        return None;
    }
    TargetName::try_new(name).map_err(|error| at.refuse(error)).ok()
}

/// Equal values, each kept once.
struct Shared<T>(HashSet<Arc<T>>);

impl<T: Eq + Hash> Shared<T> {
    fn of(&mut self, value: T) -> Arc<T> {
        if let Some(known) = self.0.get(&value) {
            return Arc::clone(known);
        }
        let shared = Arc::new(value);
        self.0.insert(Arc::clone(&shared));
        shared
    }
}
