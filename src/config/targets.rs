//! The targets of a file: entries become one [`Target`] an endpoint, each with a name of its own.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::config::file_uses::Profiles;
use crate::config::problems::Problems;
use crate::config::problems::path::{At, KeyPath};
use crate::config::problems::text::quoted;
use crate::config::targets::builder::{Maker, Parts};
use crate::config::targets::entry::Entry;
use crate::config::yaml::Node;
use crate::target::{Endpoint, Group, Target, TargetName};

pub(super) mod builder;
pub(super) mod discovered;
pub(super) mod entry;
mod prometheus;

/// Every target so far.
pub(super) struct Targets<'a> {
    maker: Maker<'a>,
    limit: Option<NonZeroU32>,
    made: Vec<Arc<Target>>,
    /// How many there are, those above the limit included, which are not made.
    count: usize,
    /// Where each name was given: the entry, and in it the URL where it has several.
    names: HashMap<TargetName, (usize, Option<usize>)>,
    all_entries_are_good: bool,
}

impl<'a> Targets<'a> {
    /// No targets yet.
    pub(super) fn new(maker: Maker<'a>, limit: Option<NonZeroU32>) -> Self {
        Self { maker, limit, made: Vec::new(), count: 0, names: HashMap::new(), all_entries_are_good: true }
    }

    /// Adds what one entry stands for.
    pub(super) fn add(&mut self, node: Node, at: At<'_>, problems: &mut Problems) {
        let before = problems.count();
        if let Some(entry) = Entry::read(node, at, problems) {
            let parts = self.maker.parts(&entry, at, problems);
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
        self.maker.profiles
    }

    /// Notes groups that can never be up for want of members; only where nothing else adds any.
    pub(super) fn check_members(&self, problems: &mut Problems) {
        // Where an entry is wrong or there is none, it is not known how many members groups were to have.
        if self.all_entries_are_good && self.count > 0 {
            self.maker.groups.check_members(problems);
        }
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
        let Maker { groups, profiles, .. } = self.maker;
        (self.made, groups.finish(), profiles)
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
        let name = match parts.name_of(&endpoint) {
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
        self.made.extend(parts.target(name, endpoint));
    }

    fn exceeded(&self) -> Option<NonZeroU32> {
        self.limit.filter(|limit| usize::try_from(limit.get()).is_ok_and(|limit| self.count > limit))
    }
}

fn place((entry, url): (usize, Option<usize>)) -> KeyPath {
    let targets = At::Root.key("targets");
    let entry = targets.item(entry);
    let urls = entry.key("urls");
    url.map_or_else(|| entry.into(), |url| urls.item(url).into())
}
