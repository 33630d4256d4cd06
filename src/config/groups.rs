//! Groups while targets join them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::keys::RawGroup;
use crate::config::keys::read::{labels, unknown_keys, value};
use crate::config::keys::value::{Given, Named};
use crate::config::levels::Layer;
use crate::config::problems::Problems;
use crate::config::problems::path::{At, KeyPath};
use crate::config::problems::text::quoted;
use crate::config::problems::text::suggestion;
use crate::target::{Group, GroupName, Labels, Quorum};

/// Every group, with the number of its members so far.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Groups {
    groups: Vec<Members>,
    /// By name; nothing for a group that exists but is wrong.
    by_name: HashMap<Box<str>, Option<usize>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Members {
    group: Arc<Group>,
    at: KeyPath,
    count: usize,
}

impl Groups {
    /// Takes the groups as written.
    pub(super) fn read(named: Named<RawGroup>, at: At<'_>, global: &Labels, problems: &mut Problems) -> Self {
        let mut groups = Self { groups: Vec::new(), by_name: HashMap::new() };
        for (name, given) in named.0 {
            let at = at.key(&name);
            if groups.by_name.contains_key(&name) {
                continue;
            }
            let before = problems.count();
            let group = group(&name, given, at, global, problems).filter(|_| problems.count() == before);
            groups.by_name.insert(name.clone(), group.is_some().then_some(groups.groups.len()));
            groups.groups.extend(group.map(|group| Members { group: Arc::new(group), at: at.into(), count: 0 }));
        }
        groups
    }

    /// Notes where a layer names a group that does not exist.
    pub(super) fn check(&self, layer: &Layer, problems: &mut Problems) {
        let Some(name) = layer.group.as_deref().filter(|name| !self.by_name.contains_key(*name)) else { return };
        let names = self.by_name.keys().map(|name| &**name);
        problems.add(layer.at.join("group"), unknown_name(name, "group", names));
    }

    /// Lets so many targets join a group.
    pub(super) fn join(&mut self, name: &str, members: usize) -> Option<Arc<Group>> {
        let joined = self.groups.get_mut((*self.by_name.get(name)?)?)?;
        joined.count += members;
        Some(Arc::clone(&joined.group))
    }

    /// Notes groups that can never be up for want of members.
    pub(super) fn check_members(&self, problems: &mut Problems) {
        for Members { group, at, count } in &self.groups {
            let Quorum::MinUp(needed) = group.quorum else { continue };
            let message = match count {
                0 => format!("has no members; name it as `group: {}` at its targets or remove it", group.name),
                count if usize::try_from(needed).is_ok_and(|needed| needed > *count) => {
                    let members = if *count == 1 { "member" } else { "members" };
                    format!("{needed} is more than the {count} {members} that the group has; lower it or add targets")
                }
                _ => continue,
            };
            match count {
                0 => problems.add_key(at.clone(), 0, message),
                _ => problems.add(at.join("min_up"), message),
            }
        }
    }

    /// The groups, in the order of the file.
    pub(super) fn finish(self) -> Vec<Arc<Group>> {
        self.groups.into_iter().map(|members| members.group).collect()
    }
}

/// What to say about a name that nothing has.
pub(super) fn unknown_name<'a>(name: &str, kind: &str, known: impl Iterator<Item = &'a str>) -> String {
    let mut known: Vec<_> = known.collect();
    known.sort_unstable();
    let found = quoted(name);
    match suggestion(name, known.iter().copied()) {
        Some(meant) => format!("{found} is no {kind}; did you mean {}?", quoted(meant)),
        None if known.is_empty() => format!("{found} is no {kind}; none is defined, add it under `{kind}s`"),
        None => format!("{found} is no {kind}; add it under `{kind}s` or use one of {}", some(&known)),
    }
}

fn some(names: &[&str]) -> String {
    let shown: Vec<_> = names.iter().take(MAX_SHOWN).map(|name| quoted(name).to_string()).collect();
    match names.len().checked_sub(MAX_SHOWN) {
        Some(more @ 1..) => format!("{} and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}

fn group(name: &str, given: Given<RawGroup>, at: At<'_>, global: &Labels, problems: &mut Problems) -> Option<Group> {
    let valid_name = GroupName::try_new(name).map_err(|error| problems.add_key(at, 0, error.to_string()));
    let raw = match given {
        Given::Nothing => RawGroup::default(),
        given => value(given, at, problems)?,
    };
    unknown_keys(&raw.unknown, at, RawGroup::keys, problems);
    let min_up = value(raw.min_up, at.key("min_up"), problems);
    let max_down = value(raw.max_down, at.key("max_down"), problems);
    let quorum = match (min_up, max_down) {
        (None, None) => Quorum::default(),
        (Some(up), None) => Quorum::MinUp(up.get()),
        (None, Some(down)) => Quorum::MaxDown(down),
        (Some(_), Some(_)) => {
            problems.add(at.key("max_down"), "stands beside `min_up`; a group has one of the two, remove the other");
            return None;
        }
    };
    let labels = global.overlaid(&labels(raw.labels, at.key("labels"), problems));
    Some(Group { name: valid_name.ok()?, quorum, labels })
}

const MAX_SHOWN: usize = 10;
