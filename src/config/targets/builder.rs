//! Entries become targets, whatever these are called and wherever they come from.

use std::collections::HashSet;
use std::hash::Hash;
use std::path::Path;
use std::sync::Arc;

use crate::config::file_uses::Profiles;
use crate::config::groups::Groups;
use crate::config::levels::{Layer, Layers};
use crate::config::modules::Modules;
use crate::config::problems::Problems;
use crate::config::problems::path::At;
use crate::config::problems::text::quoted;
use crate::config::targets::entry::Entry;
use crate::target::{
    Endpoint, Group, Labels, NameError, Protocol, ServerName, Settings, Target, TargetName, TargetUrl,
};

/// What all entries are made by, and what their targets share.
pub(in crate::config) struct Maker<'a> {
    labels: &'a Labels,
    modules: &'a Modules,
    overlay: Option<&'a Layer>,
    source: Option<&'a Layer>,
    pub(in crate::config) groups: Groups,
    shared_settings: Shared<Settings>,
    shared_labels: Shared<Labels>,
    pub(in crate::config) profiles: Profiles,
}

impl<'a> Maker<'a> {
    /// Makes targets with these global labels, modules and groups. Paths are relative to `folder`.
    pub(in crate::config) fn new(labels: &'a Labels, modules: &'a Modules, groups: Groups, folder: Arc<Path>) -> Self {
        Self {
            labels,
            modules,
            overlay: None,
            source: None,
            groups,
            shared_settings: Shared(HashSet::new()),
            shared_labels: Shared(HashSet::new()),
            profiles: Profiles::new(folder),
        }
    }

    /// The same, with settings that are nearer than any target's own.
    pub(in crate::config) fn with_overlay(self, overlay: &'a Layer) -> Self {
        Self { overlay: Some(overlay), ..self }
    }

    /// The same, with settings that come right behind each target's own.
    pub(in crate::config) fn with_source(self, source: &'a Layer) -> Self {
        Self { source: Some(source), ..self }
    }

    /// What all targets of an entry share, by the layers that apply to it; what is wrong is noted.
    pub(in crate::config) fn parts(&mut self, entry: &Entry, at: At<'_>, problems: &mut Problems) -> Parts {
        self.groups.check(&entry.layer, problems);
        let own: Vec<_> = self.overlay.into_iter().chain([&entry.layer]).chain(self.source).collect();
        let layers = self.modules.layers(&own, problems);
        let layers = Layers(&layers);
        let urls = entry.urls(layers, at, problems);
        let count = urls.iter().map(|(_, url)| url.count()).sum();
        let group = layers.nearest(|layer| layer.group.as_deref());
        let labels = self.labels.overlaid(&layers.labels());
        if let Some((_, script)) = layers.script() {
            script.check_labels(&labels, problems);
        }
        let settings = self.settings(layers, own.len(), &urls, problems);
        check_server_names(entry, &urls, &settings, at, problems);
        Parts {
            name: entry.name.as_deref().and_then(|name| only_name(name, count, at.key("name"), problems)),
            urls,
            count,
            group: group.and_then(|(_, group)| self.groups.join(group, count)),
            settings,
            labels: self.shared_labels.of(labels),
        }
    }

    /// The settings of each protocol that these URLs have.
    fn settings(
        &mut self,
        layers: Layers<'_>,
        own: usize,
        urls: &[(Option<usize>, TargetUrl)],
        problems: &mut Problems,
    ) -> Vec<(Protocol, Arc<Settings>)> {
        let common = layers.settings(problems);
        let mut settings: Vec<(Protocol, Arc<Settings>)> = Vec::new();
        for (_, url) in urls {
            let protocol = url.protocol();
            if settings.iter().all(|(known, _)| *known != protocol) {
                if let Protocol::Service(service, _) = protocol {
                    layers.check_interval(service, common.cadence.interval(), problems);
                }
                let probe_kind = layers.probe_kind(protocol, own, &mut self.profiles, problems);
                settings.push((protocol, self.shared_settings.of(Settings { probe_kind, ..common.clone() })));
            }
        }
        if !settings.is_empty() && settings.iter().all(|(_, settings)| settings.probe_kind.tls().is_none()) {
            layers.refuse_tls(own, problems);
        }
        if !settings.is_empty() && settings.iter().all(|(_, settings)| settings.probe_kind.http().is_none()) {
            layers.refuse_http(own, problems);
        }
        settings
    }
}

/// What all targets of an entry share.
pub(in crate::config) struct Parts {
    pub(in crate::config) name: Option<TargetName>,
    /// Each URL, with its index where the entry has a list of them.
    pub(in crate::config) urls: Vec<(Option<usize>, TargetUrl)>,
    /// How many endpoints the URLs stand for.
    pub(in crate::config) count: usize,
    group: Option<Arc<Group>>,
    /// Of each protocol that a URL has.
    settings: Vec<(Protocol, Arc<Settings>)>,
    labels: Arc<Labels>,
}

impl Parts {
    /// What an endpoint's target is called.
    pub(in crate::config) fn name_of(&self, endpoint: &Endpoint) -> Result<TargetName, NameError> {
        self.name.clone().map_or_else(|| TargetName::try_new(&endpoint.to_string()), Ok)
    }

    /// The settings of one of the protocols that the URLs have.
    pub(in crate::config) fn settings(&self, protocol: Protocol) -> Option<&Arc<Settings>> {
        settings_of(&self.settings, protocol)
    }

    /// The target of an endpoint that a URL stands for.
    pub(in crate::config) fn target(&self, name: TargetName, endpoint: Endpoint) -> Option<Arc<Target>> {
        let settings = self.settings(endpoint.protocol)?.clone();
        let (labels, group) = (Arc::clone(&self.labels), self.group.clone());
        Some(Arc::new(Target { name, endpoint, labels, group, settings }))
    }
}

fn settings_of(settings: &[(Protocol, Arc<Settings>)], protocol: Protocol) -> Option<&Arc<Settings>> {
    settings.iter().find(|(known, _)| *known == protocol).map(|(_, settings)| settings)
}

/// Notes hosts that no certificate can be for, where one must be.
fn check_server_names(
    entry: &Entry,
    urls: &[(Option<usize>, TargetUrl)],
    settings: &[(Protocol, Arc<Settings>)],
    at: At<'_>,
    problems: &mut Problems,
) {
    for (index, url) in urls {
        let tls = settings_of(settings, url.protocol()).and_then(|settings| settings.probe_kind.tls());
        if tls.is_some_and(|tls| tls.settings.server_name.is_none()) && ServerName::of_host(url.host()).is_none() {
            let message = format!(
                "no certificate can be for `{}`, for a part of it begins or ends with a hyphen; set `tls.server_name`",
                url.host()
            );
            entry.blame(*index, at, &message, problems);
        }
    }
}

/// The name of an entry, which only one endpoint can have.
fn only_name(name: &str, endpoints: usize, at: At<'_>, problems: &mut Problems) -> Option<TargetName> {
    if endpoints > 1 {
        let message = format!("{} cannot name {endpoints} endpoints; split the entry or remove the name", quoted(name));
        problems.add(at, message);
        return None;
    }
    TargetName::try_new(name).map_err(|error| problems.add(at, error.to_string())).ok()
}

/// Values of which the same is kept once.
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
