//! Targets: one per endpoint, each with a unique name.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::config::file_uses::FileUses;
use crate::config::problems::At;
use crate::config::problems::path::KeyPath;
use crate::config::problems::text::quoted;
use crate::config::targets::builder::{EntryParts, TargetBuilder};
use crate::config::targets::entry::TargetEntry;
use crate::config::yaml::Node;
use crate::options::PublicOptions;
use crate::target::{Endpoint, Group, NameError, Target, TargetName, hide_query_values};

pub(super) mod builder;
pub(super) mod discovered;
pub(super) mod entry;
pub(super) mod prometheus;

/// Collects targets with unique names.
#[derive(Debug, Default)]
struct Collector {
    targets: Vec<Arc<Target>>,
    names: HashMap<TargetName, Origin>,
}

/// The origin of a target: an entry, and its URL if the entry has a list of them.
#[derive(Clone, Copy, Debug)]
struct Origin {
    entry: usize,
    url: Option<usize>,
}

/// Reason why a target is not collected.
#[derive(Debug)]
enum CollectError {
    Name(NameError),
    Taken { name: TargetName, first: Origin },
}

impl Collector {
    fn push(&mut self, parts: &EntryParts, endpoint: Endpoint, origin: Origin) -> Result<(), CollectError> {
        let name = parts.name_of(&endpoint).map_err(CollectError::Name)?;
        if let Some(&first) = self.names.get(&name) {
            return Err(CollectError::Taken { name, first });
        }
        self.names.insert(name.clone(), origin);
        self.targets.extend(parts.target(name, endpoint));
        Ok(())
    }
}

/// The targets of a file.
pub(super) struct FileTargets<'a> {
    builder: TargetBuilder<'a>,
    collector: Collector,
    limit: Option<NonZeroU32>,
    /// The number of targets, including those above the limit, which are not built.
    count: usize,
    all_entries_are_valid: bool,
}

impl<'a> FileTargets<'a> {
    /// No targets yet.
    pub(super) fn new(builder: TargetBuilder<'a>, limit: Option<NonZeroU32>) -> Self {
        Self { builder, collector: Collector::default(), limit, count: 0, all_entries_are_valid: true }
    }

    /// Adds the targets of an entry.
    pub(super) fn add(&mut self, node: Node, at: At<'_>) {
        let problems = at.problems().count();
        if let Some(entry) = TargetEntry::read(node, at) {
            let parts = self.builder.parts(&entry, at);
            self.collect(&parts, at);
        }
        self.all_entries_are_valid &= at.problems().count() == problems;
    }

    /// The targets so far.
    pub(super) fn targets(&self) -> &[Arc<Target>] {
        &self.collector.targets
    }

    /// The files of the targets so far.
    pub(super) fn into_files(self) -> FileUses {
        self.builder.files
    }

    /// Reports groups that have too few members, if the file has all targets.
    pub(super) fn check_members(&self, at: At<'_>) {
        // An invalid entry may have been meant as a member.
        if self.all_entries_are_valid && self.count > 0 {
            self.builder.groups.check_members(at.problems());
        }
    }

    /// Reports targets that would be public but have neither a group nor a name. Their default name has their host and port.
    pub(super) fn check_public(&self, public: &PublicOptions, at: At<'_>) {
        let mut reported = HashSet::new();
        for target in self.collector.targets.iter().filter(|target| public.choose(&target.labels)) {
            if target.group.is_some() || target.name.as_str() != target.endpoint.to_string() {
                continue;
            }
            let Some(origin) = self
                .collector
                .names
                .get(&target.name)
                .filter(|origin| reported.insert(origin.entry))
            else {
                continue;
            };
            let message = "is public by its labels (`public.match`), but has no `name`, and the default name would show its host and \
                           port; add a `name`, a `group`, or another value of the label";
            at.problems().refuse(origin.path(), message);
        }
    }

    /// Reports labels that no target has, if the file has all targets.
    pub(super) fn check_public_match(&self, public: &PublicOptions, at: At<'_>) {
        let is_empty = !self.collector.targets.iter().any(|target| public.choose(&target.labels));
        if is_empty && self.all_entries_are_valid && self.count > 0 {
            at.refuse("matches no target; add its labels to the targets that are public");
        }
    }

    /// The targets, their groups and files; reports at `at` if there are too many targets.
    pub(super) fn finish(self, at: At<'_>) -> (Vec<Arc<Target>>, Vec<Arc<Group>>, FileUses) {
        if let Some(limit) = self.exceeded_limit() {
            at.refuse(format_args!(
                "has {} targets; must have at most {limit}; raise `limits.targets`, or set it to 0 for no limit",
                self.count
            ));
        }
        let TargetBuilder { groups, files, .. } = self.builder;
        (self.collector.targets, groups.finish(), files)
    }

    fn collect(&mut self, parts: &EntryParts, at: At<'_>) {
        self.count += parts.count;
        if self.exceeded_limit().is_some() {
            return;
        }
        for (url, endpoints) in &parts.urls {
            let origin = Origin { entry: at.index().unwrap_or_default(), url: *url };
            for endpoint in endpoints.endpoints() {
                match self.collector.push(parts, endpoint, origin) {
                    Ok(()) => {}
                    Err(CollectError::Name(error)) => at.refuse(error),
                    Err(CollectError::Taken { name, first }) => refuse_taken(&name, first, parts, *url, at),
                }
            }
        }
    }

    fn exceeded_limit(&self) -> Option<NonZeroU32> {
        self.limit
            .filter(|limit| usize::try_from(limit.get()).is_ok_and(|limit| self.count > limit))
    }
}

/// Reports a name that another target has, at the key where the name comes from.
fn refuse_taken(name: &TargetName, first: Origin, parts: &EntryParts, url: Option<usize>, at: At<'_>) {
    let (first, name) = (first.path(), hide_query_values(name.as_str()));
    let name = quoted(&name);
    let message = format!("duplicate target name {name}, also used by {first}; remove one, or set another `name`");
    let urls = at.key("urls");
    let here = match url {
        _ if parts.name.is_some() => at.key("name"),
        Some(index) => urls.item(index),
        None => at,
    };
    here.refuse_with(first, message);
}

impl Origin {
    /// The path in the file.
    fn path(self) -> KeyPath {
        let entry = KeyPath::document().join("targets").item(self.entry);
        self.url.map_or_else(|| entry.clone(), |url| entry.join("urls").item(url))
    }
}
