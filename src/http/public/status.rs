//! The public facts: the only part of the public page that reads targets.

use std::collections::HashSet;
use std::sync::Arc;

use super::history::{self, History, Outage, Share};
use crate::board::{Day, GroupStatus, State};
use crate::clock::Timestamp;
use crate::http::reading::Sources;
use crate::inventory::Page;
use crate::options::PublicOptions;
use crate::store::{IncidentQuery, Store};
use crate::target::{GroupName, Target, TargetName};

/// Everything that is public at a moment.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) title: String,
    /// In the order of the configuration.
    pub(super) components: Vec<Component>,
    /// The number of further ones.
    pub(super) omitted: usize,
    /// Those of the last 90 days, the latest first.
    pub(super) incidents: Vec<Incident>,
    pub(super) now: Timestamp,
}

/// A group, or a target that is in none.
#[derive(Debug)]
pub(super) struct Component {
    pub(super) name: String,
    pub(super) state: State,
    /// One for each of the last 90 days.
    pub(super) shares: Vec<Share>,
}

/// A time in which a group or target was down.
#[derive(Debug)]
pub(super) struct Incident {
    pub(super) name: String,
    pub(super) began: Timestamp,
    /// `None` while it lasts.
    pub(super) ended: Option<Timestamp>,
}

impl Status {
    /// Reads the facts about everything that the options choose.
    pub(super) fn read(options: &PublicOptions, sources: &Sources) -> Self {
        let chosen = chosen(options, sources);
        let omitted = chosen.len().saturating_sub(MAX_COMPONENTS);
        let reader = Reader::new(sources);
        let mut status = Self {
            title: options.title.to_string(),
            components: Vec::new(),
            omitted,
            incidents: Vec::new(),
            now: sources.now,
        };
        for choice in chosen.into_iter().take(MAX_COMPONENTS) {
            let (component, outages) = reader.component(choice);
            let incidents = outages.iter().filter(|outage| outage.is_incident);
            status.incidents.extend(incidents.map(|outage| Incident {
                name: component.name.clone(),
                began: outage.began,
                ended: outage.ended,
            }));
            status.components.push(component);
        }
        let since = reader.since.start();
        status
            .incidents
            .retain(|incident| incident.ended.is_none_or(|ended| ended >= since));
        status
            .incidents
            .sort_by(|a, b| b.began.cmp(&a.began).then_with(|| a.name.cmp(&b.name)));
        status
    }
}

/// A group or target that is public, with the present state of its members.
struct Choice {
    name: String,
    state: State,
    members: Vec<Member>,
    /// The number of members that may be down.
    tolerated: usize,
}

struct Member {
    name: TargetName,
    /// The start of its state, if it is down.
    down_since: Option<Timestamp>,
}

/// Returns everything that the options choose.
///
/// - A group, if one of its members has the labels. It stands for all of its members.
/// - A target in no group with the labels and a name. Without a name of its own it has that of its URL, which is not public.
fn chosen(options: &PublicOptions, sources: &Sources) -> Vec<Choice> {
    let rows = &sources.rows;
    let public: HashSet<&GroupName> = rows
        .targets()
        .filter(|target| options.choose(&target.labels))
        .filter_map(|target| Some(&target.group.as_ref()?.name))
        .collect();
    let mut groups: Vec<(GroupStatus, Vec<Member>, usize)> = Vec::new();
    let mut targets: Vec<(usize, Choice)> = Vec::new();
    let mut position = 0;
    rows.for_each_in(0..rows.len(), |target, row| {
        let member = || Member {
            name: target.name.clone(),
            down_since: row.state_since().filter(|_| row.state() == State::Down),
        };
        match &target.group {
            Some(group) if public.contains(&group.name) => {
                let known = groups.iter_mut().find(|(status, ..)| status.group.name == group.name);
                if let Some((status, members, _)) = known {
                    status.count(row.state());
                    members.push(member());
                } else {
                    let mut status = GroupStatus::new(Arc::clone(group));
                    status.count(row.state());
                    groups.push((status, vec![member()], position));
                }
            }
            None if options.choose(&target.labels) && has_own_name(target) => {
                let (name, members) = (target.name.to_string(), vec![member()]);
                targets.push((position, Choice { name, state: row.state(), members, tolerated: 0 }));
            }
            Some(_) | None => {}
        }
        position += 1;
    });
    let groups = groups.into_iter().map(|(status, members, position)| {
        let needed = usize::try_from(status.needed()).unwrap_or(usize::MAX);
        let tolerated = members.len().saturating_sub(needed);
        let (name, state) = (status.group.name.to_string(), status.state());
        (position, Choice { name, state, members, tolerated })
    });
    targets.extend(groups);
    targets.sort_by_key(|(position, _)| *position);
    targets.into_iter().map(|(_, choice)| choice).collect()
}

fn has_own_name(target: &Target) -> bool {
    target.name.as_str() != target.endpoint.to_string()
}

/// Reads histories from the store.
struct Reader<'a> {
    store: Option<&'a Store>,
    since: Day,
    today: Day,
    now: Timestamp,
}

impl<'a> Reader<'a> {
    fn new(sources: &'a Sources) -> Self {
        let today = Day::of(sources.now);
        let since = Day::from_number(today.number().saturating_sub(DAYS - 1));
        Self { store: sources.store.as_ref(), since, today, now: sources.now }
    }

    fn component(&self, Choice { name, state, members, tolerated }: Choice) -> (Component, Vec<Outage>) {
        let members: Vec<_> = members.iter().map(|member| self.history(member)).collect();
        let outages = history::outages(&members, tolerated);
        let shares = history::shares(&members, &outages, self.since, self.today, self.now);
        (Component { name, state, shares }, outages)
    }

    fn history(&self, member: &Member) -> History {
        let Some(store) = self.store else { return History::default() };
        let page = Page { limit: MAX_INCIDENTS, offset: 0 };
        let query = IncidentQuery { target: Some(member.name.to_string()), is_open: None, page };
        let incidents = store.incidents(&query).incidents.into_iter();
        let mut outages: Vec<_> = incidents
            .map(|incident| Outage { began: incident.began, ended: incident.ended, is_incident: true })
            .collect();
        // A target that was never seen up is down without an incident.
        let is_open = outages.iter().any(|outage| outage.ended.is_none());
        let down_since = member.down_since.filter(|_| !is_open);
        outages.extend(down_since.map(|began| Outage { began, ended: None, is_incident: false }));
        History { days: store.days(&member.name, self.since, self.today), outages }
    }
}

/// The days that are shown.
pub(super) const DAYS: u32 = 90;

/// A page with more would take too long to read and to send.
const MAX_COMPONENTS: usize = 500;

/// The latest incidents of a target that count.
const MAX_INCIDENTS: usize = 1000;
