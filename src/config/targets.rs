//! The targets: entries of a file become one [`Target`] an endpoint.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use crate::config::entry::Entry;
use crate::config::groups::Groups;
use crate::config::layer::{Layer, Layers};
use crate::config::modules::Modules;
use crate::config::node::Node;
use crate::config::place::{At, KeyPath};
use crate::config::problem::Problems;
use crate::config::profiles::Profiles;
use crate::config::quote::quoted;
use crate::target::{Endpoint, Group, Labels, Protocol, ServerName, Settings, Target, TargetName, TargetUrl};

/// Every target so far.
pub(super) struct Targets<'a> {
    labels: &'a Labels,
    modules: &'a Modules,
    overlay: Option<&'a Layer>,
    limit: Option<NonZeroU32>,
    groups: Groups,
    made: Vec<Arc<Target>>,
    /// How many there are, those above the limit included, which are not made.
    count: usize,
    /// Where each name was given: the entry, and in it the URL where it has several.
    names: HashMap<TargetName, (usize, Option<usize>)>,
    shared_settings: Shared<Settings>,
    shared_labels: Shared<Labels>,
    profiles: Profiles,
    all_entries_are_good: bool,
}

impl<'a> Targets<'a> {
    /// No targets yet.
    pub(super) fn new(
        labels: &'a Labels,
        modules: &'a Modules,
        groups: Groups,
        limit: Option<NonZeroU32>,
        folder: Arc<Path>,
    ) -> Self {
        Self {
            labels,
            modules,
            overlay: None,
            limit,
            groups,
            made: Vec::new(),
            count: 0,
            names: HashMap::new(),
            shared_settings: Shared(HashSet::new()),
            shared_labels: Shared(HashSet::new()),
            profiles: Profiles::new(folder),
            all_entries_are_good: true,
        }
    }

    /// The same, with settings that are nearer than any target's own.
    pub(super) fn with_overlay(self, overlay: &'a Layer) -> Self {
        Self { overlay: Some(overlay), ..self }
    }

    /// Adds what one entry stands for.
    pub(super) fn add(&mut self, node: Node, at: At<'_>, problems: &mut Problems) {
        let before = problems.count();
        if let Some(entry) = Entry::read(node, at, problems) {
            let parts = self.parts(&entry, at, problems);
            self.make(&parts, at, problems);
        }
        self.all_entries_are_good &= problems.count() == before;
    }

    /// Those made so far.
    pub(super) fn made(&self) -> &[Arc<Target>] {
        &self.made
    }

    /// Ends adding, with no more than what those made so far need of files.
    pub(super) fn into_profiles(self) -> Profiles {
        self.profiles
    }

    /// Ends adding: the targets, their groups, and what they need of files.
    pub(super) fn finish(self, problems: &mut Problems) -> (Vec<Arc<Target>>, Vec<Arc<Group>>, Profiles) {
        if let Some(limit) = self.exceeded() {
            let message = format!(
                "has {} targets, more than the {limit} that `limits.targets` allows; raise `limits.targets`, or set it to 0 for no limit",
                self.count
            );
            problems.add(At::Root.key("targets"), message);
        }
        // Where an entry is wrong or there is none, it is not known how many members groups were to have.
        if self.all_entries_are_good && self.count > 0 {
            self.groups.check_members(problems);
        }
        (self.made, self.groups.finish(), self.profiles)
    }

    /// What all targets of an entry share, by the layers that apply to it.
    fn parts(&mut self, entry: &Entry, at: At<'_>, problems: &mut Problems) -> Parts {
        self.groups.check(&entry.layer, problems);
        let own: Vec<_> = self.overlay.into_iter().chain([&entry.layer]).collect();
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
                let exchange = layers.exchange(protocol, own, &mut self.profiles, problems);
                settings.push((protocol, self.shared_settings.of(Settings { exchange, ..common.clone() })));
            }
        }
        if !settings.is_empty() && settings.iter().all(|(_, settings)| settings.exchange.tls().is_none()) {
            layers.refuse_tls(own, problems);
        }
        settings
    }

    /// Makes the targets of an entry, as long as there are not too many.
    fn make(&mut self, parts: &Parts, at: At<'_>, problems: &mut Problems) {
        self.count += parts.count;
        if self.exceeded().is_some() {
            return;
        }
        for (index, url) in &parts.urls {
            for endpoint in url.endpoints() {
                self.push(parts, endpoint, at, *index, problems);
            }
        }
    }

    fn push(&mut self, parts: &Parts, endpoint: Endpoint, at: At<'_>, url: Option<usize>, problems: &mut Problems) {
        let name = match parts.name.clone().map_or_else(|| TargetName::try_new(&endpoint.to_string()), Ok) {
            Ok(name) => name,
            Err(error) => return problems.add(at, error.to_string()),
        };
        let entry = if let At::Item(_, index) = at { index } else { 0 };
        if let Some(taken) = self.names.get(&name) {
            let (first, name) = (place(*taken), quoted(name.as_str()));
            let message = format!("{name} is a target already, as {first}; remove one or give one another `name`");
            let urls = at.key("urls");
            let here = match url {
                _ if parts.name.is_some() => at.key("name"),
                Some(index) => urls.item(index),
                None => at,
            };
            return problems.add_with(here, first, message);
        }
        self.names.insert(name.clone(), (entry, url));
        let Some(settings) = settings_of(&parts.settings, endpoint.protocol).cloned() else { return };
        let (labels, group) = (Arc::clone(&parts.labels), parts.group.clone());
        self.made.push(Arc::new(Target { name, endpoint, labels, group, settings }));
    }

    fn exceeded(&self) -> Option<NonZeroU32> {
        self.limit.filter(|limit| usize::try_from(limit.get()).is_ok_and(|limit| self.count > limit))
    }
}

/// What all targets of an entry share.
struct Parts {
    name: Option<TargetName>,
    /// Each URL, with its index where the entry has a list of them.
    urls: Vec<(Option<usize>, TargetUrl)>,
    /// How many endpoints the URLs stand for.
    count: usize,
    group: Option<Arc<Group>>,
    /// Of each protocol that a URL has.
    settings: Vec<(Protocol, Arc<Settings>)>,
    labels: Arc<Labels>,
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
        let tls = settings_of(settings, url.protocol()).and_then(|settings| settings.exchange.tls());
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

fn place((entry, url): (usize, Option<usize>)) -> KeyPath {
    let targets = At::Root.key("targets");
    let entry = targets.item(entry);
    let urls = entry.key("urls");
    url.map_or_else(|| entry.into(), |url| urls.item(url).into())
}
