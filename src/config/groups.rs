//! Failover groups, and the number of targets that join them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::keys::Group as Keys;
use crate::config::keys::read::{Field, Named};
use crate::config::levels::Level;
use crate::config::problems::path::KeyPath;
use crate::config::problems::text::{quoted, suggestion};
use crate::config::problems::{At, Problems};
use crate::target::{Group, GroupName, Labels, Quorum};

/// Every group, with the number of its members so far.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Groups {
    groups: Vec<Members>,
    /// The index of each group by its name; `None` for an invalid group.
    by_name: HashMap<Box<str>, Option<usize>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Members {
    group: Arc<Group>,
    at: KeyPath,
    count: usize,
}

impl Groups {
    /// Reads the groups. `global` are the labels of every series.
    pub(super) fn read(Named(groups): Named<Keys>, at: At<'_>, global: &Labels) -> Self {
        let mut read = Self { groups: Vec::new(), by_name: HashMap::new() };
        for (name, keys) in groups {
            let at = at.key(&name);
            let problems = at.problems().count();
            let group = group(&name, keys.read(at), at, global).filter(|_| at.problems().count() == problems);
            let index = group.is_some().then_some(read.groups.len());
            read.groups
                .extend(group.map(|group| Members { group: Arc::new(group), at: at.path(), count: 0 }));
            read.by_name.insert(name, index);
        }
        read
    }

    /// Reports if a level names a group that does not exist.
    pub(super) fn check(&self, level: &Level, problems: &Problems) {
        let Some(name) = level.keys.group.get().filter(|name| !self.by_name.contains_key(&***name)) else { return };
        let names = self.by_name.keys().map(|name| &**name);
        problems.refuse(level.at.join("group"), unknown_name(name, "group", names));
    }

    /// Adds this many members to a group.
    pub(super) fn join(&mut self, name: &str, members: usize) -> Option<Arc<Group>> {
        let joined = self.groups.get_mut((*self.by_name.get(name)?)?)?;
        joined.count += members;
        Some(Arc::clone(&joined.group))
    }

    /// Reports groups that have too few members to be up.
    pub(super) fn check_members(&self, problems: &Problems) {
        for Members { group, at, count } in &self.groups {
            let Quorum::MinUp(needed) = group.quorum else { continue };
            match count {
                0 => {
                    let message =
                        format!("has no members; add `group: {}` to targets, or remove the group", group.name);
                    problems.refuse_key(at.clone(), message);
                }
                count if usize::try_from(needed).is_ok_and(|needed| needed > *count) => {
                    let message = format!("{needed} exceeds the number of members ({count}); lower it or add members");
                    problems.refuse(at.join("min_up"), message);
                }
                _ => {}
            }
        }
    }

    /// The groups, in the order of the file.
    pub(super) fn finish(self) -> Vec<Arc<Group>> {
        self.groups.into_iter().map(|members| members.group).collect()
    }
}

/// The message for a name that does not exist.
pub(super) fn unknown_name<'a>(name: &str, kind: &str, known: impl Iterator<Item = &'a str>) -> String {
    let mut known: Vec<_> = known.collect();
    known.sort_unstable();
    let found = quoted(name);
    match suggestion(name, known.iter().copied()) {
        Some(meant) => format!("unknown {kind} {found}; did you mean {}?", quoted(meant)),
        None if known.is_empty() => format!("unknown {kind} {found}; add it under `{kind}s`"),
        None => format!("unknown {kind} {found}; add it under `{kind}s`, or use one of {}", some(&known)),
    }
}

fn some(names: &[&str]) -> String {
    let shown: Vec<_> = names.iter().take(MAX_SHOWN).map(|name| quoted(name).to_string()).collect();
    match names.len().checked_sub(MAX_SHOWN) {
        Some(more @ 1..) => format!("{} and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}

fn group(name: &str, keys: Field<Keys>, at: At<'_>, global: &Labels) -> Option<Group> {
    let valid_name = GroupName::try_new(name).map_err(|error| at.refuse_key(error));
    let keys = match keys {
        Field::Absent => Keys::default(),
        keys => keys.into_value()?,
    };
    let quorum = match (keys.min_up.get(), keys.max_down.get()) {
        (None, None) => Quorum::default(),
        (Some(up), None) => Quorum::MinUp(up.get()),
        (None, Some(down)) => Quorum::MaxDown(*down),
        (Some(_), Some(_)) => {
            at.key("max_down").refuse("conflicts with `min_up`; remove one");
            return None;
        }
    };
    let labels = keys.labels.into_value().unwrap_or_default();
    Some(Group { name: valid_name.ok()?, quorum, labels: global.overlaid(&labels.to_map()) })
}

const MAX_SHOWN: usize = 10;
