//! The page of a target: everything that is known about it.

use std::net::IpAddr;
use std::sync::Arc;

use askama::Template;

use self::certificates::Chain;
use self::history::{Calendar, DayBars, LatencyPlot, OutcomeBars};
use self::phases::PhaseBar;
use self::settings::Setting;
use super::attention::Concern;
use super::bars::uptime;
use super::links::Root;
use super::neighbours::{NamedLink, Neighbourhood, Neighbours};
use super::times::{Moment, brief, span};
use super::why::{Why, probe_command, title};
use super::{Frame, Sources};
use crate::board::{AddressResult, Day, DayFigures, GroupStatus, LastProbe, Recent, Row, State};
use crate::inventory::{Page, TargetQuery, TargetSummary};
use crate::outcome::{Class, PeerCertificates, Phase, ServiceFacts, Session};
use crate::peer_text::escaped;
use crate::store::{Incident, IncidentList, IncidentQuery};
use crate::target::{GroupName, LabelName, Target, TargetName};

mod certificates;
mod history;
mod phases;
mod settings;

/// The page of a target.
#[derive(Debug, Template)]
#[template(path = "target.html")]
pub(super) struct TargetPage {
    frame: Frame,
    name: String,
    url: String,
    labels: Vec<LabelLink>,
    state: &'static str,
    since: Option<Moment>,
    why: Option<Why>,
    /// Reasons for attention.
    concerns: Vec<String>,
    command: String,
    neighbours: Vec<Neighbourhood>,
    last: Option<Last>,
    facts: Vec<Fact>,
    addresses: Vec<Address>,
    chain: Option<Chain>,
    outcomes: OutcomeBars,
    latency: Option<LatencyPlot>,
    days: DayBars,
    calendar: Calendar,
    uptimes: Vec<(&'static str, String)>,
    incidents: Vec<IncidentRow>,
    total_incidents: usize,
    counters: Vec<Fact>,
    group: Option<GroupMembers>,
    settings: Vec<Setting>,
    api: String,
    probe_link: Option<String>,
}

/// A label, with the link to all targets that have it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct LabelLink {
    name: String,
    value: String,
    link: String,
}

/// The last probe.
#[derive(Clone, Debug)]
struct Last {
    ended: Moment,
    words: String,
    phases: Vec<PhaseBar>,
}

/// A fact with its name.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Fact {
    name: String,
    value: String,
}

/// The result of an address.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Address {
    ip: IpAddr,
    state: &'static str,
}

/// A time in which the target was down.
#[derive(Clone, Debug, Eq, PartialEq)]
struct IncidentRow {
    began: Moment,
    /// `None` while it lasts.
    ended: Option<Moment>,
    lasted: String,
    title: String,
    class: String,
    phase: String,
    detail: String,
}

/// The group of the target.
#[derive(Clone, Debug)]
struct GroupMembers {
    name: String,
    link: String,
    words: String,
    state: &'static str,
    members: Vec<Member>,
    more: usize,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Member {
    target: NamedLink,
    state: &'static str,
    is_this: bool,
}

/// A copy of a row, so that it is locked only for a moment.
struct Facts {
    summary: TargetSummary,
    last: Option<LastProbe>,
    session: Option<Session>,
    peer: Option<Arc<PeerCertificates>>,
    client_not_after: Option<i64>,
    addresses: Vec<AddressResult>,
    resolved: Option<u32>,
    service: Option<ServiceFacts>,
    dialogue: Vec<(LabelName, String)>,
    recent: Vec<Recent>,
    counts: [u64; 4],
    reasons: Vec<(Phase, Class, u64)>,
}

/// The history of a target.
struct Memory {
    days: Vec<DayFigures>,
    incidents: IncidentList,
}

impl TargetPage {
    /// Reads a target; `None` if it does not exist.
    pub(super) fn read(sources: &Sources, name: &TargetName, root: &Root) -> Option<Self> {
        let rows = &sources.view.rows;
        let target = rows.target(name)?;
        let facts = rows.find(name, |row| Facts::of(target, row))?;
        let memory = Memory::read(sources, name);
        let all = TargetQuery::default().all(rows).targets;
        let summary = &facts.summary;
        let today = Day::of(sources.now);
        let concerns = Concern::ALL.into_iter().filter(|concern| concern.applies(summary, sources.now));
        let uptimes = [("today", 1), ("7 days", 7), ("30 days", 30), ("90 days", 90), ("400 days", SHOWN_DAYS)];
        let uptimes =
            uptimes.map(|(words, days)| (words, uptime(&memory.days, today, days).unwrap_or_else(|| "–".into())));
        Some(Self {
            frame: Frame::new(sources, window_title(summary), root.clone()),
            name: escaped(name.as_str()),
            url: escaped(&target.endpoint.to_string()),
            labels: labels(target, root),
            state: summary.state.as_str(),
            since: summary.since.map(|since| Moment::of(since, sources.now)),
            why: summary
                .failure
                .as_ref()
                .map(|failure| Why::of(failure, target, summary.address)),
            concerns: concerns.map(|concern| concern.in_words(summary, sources.now)).collect(),
            command: probe_command(name),
            neighbours: Neighbours::of(&[summary], &all).around(summary, root),
            last: facts.last.map(|last| Last::of(&last, summary, sources)),
            facts: facts.about_the_peer(sources),
            addresses: facts.addresses.iter().map(Address::of).collect(),
            chain: facts.peer.as_deref().map(|peer| Chain::of(peer, target, sources.now)),
            outcomes: OutcomeBars::of(&facts.recent),
            latency: LatencyPlot::of(&facts.recent),
            days: DayBars::of(&memory.days, today, BAR_DAYS),
            calendar: Calendar::of(&memory.days, today, SHOWN_DAYS),
            uptimes: uptimes.into(),
            incidents: memory
                .incidents
                .incidents
                .iter()
                .map(|incident| IncidentRow::of(incident, sources))
                .collect(),
            total_incidents: memory.incidents.total,
            counters: facts.counters(),
            group: target
                .group
                .as_ref()
                .and_then(|group| GroupMembers::of(&group.name, name, &all, sources, root)),
            settings: settings::of(target),
            api: root.to(root_free_api(name)),
            probe_link: sources.has_lifecycle.then(|| root.to(format!("{}/probe", root_free_api(name)))),
        })
    }
}

fn window_title(summary: &TargetSummary) -> String {
    let (mark, state) = match summary.state {
        State::Down => ("✖", "down"),
        State::Unknown => ("?", "unknown"),
        State::Up => ("✔", "up"),
    };
    format!("{mark} {} is {state} – portprobe", escaped(summary.target.name.as_str()))
}

/// Returns the path of a target in the API, below the root.
fn root_free_api(name: &TargetName) -> String {
    format!("api/v1/{}", Root::default().target(name))
}

fn labels(target: &Target, root: &Root) -> Vec<LabelLink> {
    let link = |(name, value): (&str, &str)| {
        let labels = vec![(name.to_owned(), value.to_owned())];
        let query = TargetQuery { labels, ..TargetQuery::default() };
        LabelLink { name: name.to_owned(), value: escaped(value), link: root.targets(&query) }
    };
    target.labels.iter().map(link).collect()
}

impl Facts {
    fn of(target: &Arc<Target>, row: &Row) -> Self {
        Self {
            summary: TargetSummary::of(target, row),
            last: row.last().copied(),
            session: row.session().cloned(),
            peer: row.peer_certificates().cloned(),
            client_not_after: row.client_certificate_not_after(),
            addresses: row.addresses().to_vec(),
            resolved: row.resolved_addresses(),
            service: row.service().cloned(),
            dialogue: row.dialogue().to_vec(),
            recent: row.history().iter().collect(),
            counts: [row.probes(), row.failed_probes(), row.outages(), row.syn_retransmits()],
            reasons: row.failures().collect(),
        }
    }

    fn about_the_peer(&self, sources: &Sources) -> Vec<Fact> {
        let mut facts = Vec::new();
        if let Some(address) = self.summary.address {
            let of = self
                .resolved
                .map(|count| format!(", 1 of {count} resolved"))
                .filter(|_| self.resolved != Some(1));
            facts.push(Fact::new("Address", format!("{address}{}", of.unwrap_or_default())));
        }
        if let Some(Session { version, cipher, key_exchange, alpn }) = &self.session {
            let alpn = alpn
                .as_deref()
                .map(|alpn| format!(", ALPN {}", escaped(alpn)))
                .unwrap_or_default();
            facts.push(Fact::new("TLS", format!("{version}, {cipher}, {key_exchange}{alpn}")));
        }
        if let Some(not_after) = self.client_not_after {
            let moment = Moment::of_second(not_after, sources.now);
            let words = if not_after < sources.now.seconds() { "expired" } else { "expires" };
            facts.push(Fact::new("Client certificate", format!("{words} {}", moment.absolute)));
        }
        if let Some(ServiceFacts { protocol, version, role }) = &self.service {
            let parts = [*protocol, version, role].into_iter().filter(|part| !part.is_empty());
            facts.push(Fact::new("Service", parts.map(escaped).collect::<Vec<_>>().join(", ")));
        }
        facts.extend(
            self.dialogue
                .iter()
                .map(|(name, value)| Fact::new(name.as_str(), escaped(value))),
        );
        facts
    }

    fn counters(&self) -> Vec<Fact> {
        let [probes, failed, outages, syns] = self.counts;
        let mut counters = vec![
            Fact::new("Probes", probes.to_string()),
            Fact::new("Failed probes", failed.to_string()),
            Fact::new("Outages", outages.to_string()),
        ];
        if syns > 0 {
            counters.push(Fact::new("Retransmitted SYNs", syns.to_string()));
        }
        let reasons = self.reasons.iter();
        counters.extend(reasons.map(|(phase, class, count)| {
            Fact::new(&format!("{} in {}", class.as_str(), phase.as_str()), count.to_string())
        }));
        counters
    }
}

impl Fact {
    fn new(name: &str, value: String) -> Self {
        Self { name: name.to_owned(), value }
    }
}

impl Address {
    fn of(result: &AddressResult) -> Self {
        let state = if result.success { State::Up } else { State::Down };
        Self { ip: result.address, state: state.as_str() }
    }
}

impl Last {
    fn of(last: &LastProbe, summary: &TargetSummary, sources: &Sources) -> Self {
        let failure = summary.failure.as_ref().filter(|_| !last.success);
        let result = if last.success { "succeeded in" } else { "failed after" };
        Self {
            ended: Moment::of(last.ended_at, sources.now),
            words: format!("{result} {}", brief(last.duration)),
            phases: phases::of(last, failure),
        }
    }
}

impl Memory {
    fn read(sources: &Sources, name: &TargetName) -> Self {
        let Some(store) = &sources.store else { return Self { days: Vec::new(), incidents: IncidentList::default() } };
        let today = Day::of(sources.now);
        let since = Day::from_number(today.number().saturating_sub(SHOWN_DAYS - 1));
        let page = Page { limit: SHOWN_INCIDENTS, offset: 0 };
        let query = IncidentQuery { target: Some(name.as_str().to_owned()), is_open: None, page };
        Self { days: store.days(name, since, today), incidents: store.incidents(&query) }
    }
}

impl IncidentRow {
    fn of(incident: &Incident, sources: &Sources) -> Self {
        let Incident { began, ended, phase, class, detail, .. } = incident;
        let end = ended.unwrap_or(sources.now);
        Self {
            began: Moment::of(*began, sources.now),
            ended: ended.map(|ended| Moment::of(ended, sources.now)),
            lasted: span(end.as_duration().saturating_sub(began.as_duration())),
            title: Class::of_name(class).map_or_else(|| escaped(class), |class| title(class).to_owned()),
            class: escaped(class),
            phase: escaped(phase),
            detail: escaped(detail),
        }
    }
}

impl GroupMembers {
    fn of(group: &GroupName, name: &TargetName, all: &[TargetSummary], sources: &Sources, root: &Root) -> Option<Self> {
        let groups = sources.view.rows.groups();
        let status = groups.iter().find(|status| status.group.name == *group)?;
        let of_group = |summary: &&TargetSummary| summary.target.group.as_ref().is_some_and(|of| of.name == *group);
        let members: Vec<_> = all
            .iter()
            .filter(of_group)
            .take(SHOWN_MEMBERS)
            .map(|summary| Member {
                target: NamedLink::of(&summary.target.name, root),
                state: summary.state.as_str(),
                is_this: summary.target.name == *name,
            })
            .collect();
        let query = TargetQuery { group: Some(group.as_str().to_owned()), ..TargetQuery::default() };
        Some(Self {
            name: escaped(group.as_str()),
            link: root.targets(&query),
            words: quorum(status),
            state: match status.is_up() {
                Some(true) => State::Up.as_str(),
                Some(false) => State::Down.as_str(),
                None => State::Unknown.as_str(),
            },
            more: usize::try_from(status.members)
                .unwrap_or(usize::MAX)
                .saturating_sub(members.len()),
            members,
        })
    }
}

fn quorum(status: &GroupStatus) -> String {
    let result = match status.is_up() {
        Some(true) => "has its quorum",
        Some(false) => "has no quorum",
        None => "has no known state",
    };
    format!("{result}: {} of {} members are up, {} must be", status.up, status.members, status.needed())
}

/// Number of days with figures.
const SHOWN_DAYS: u32 = 400;

/// Number of days that are bars.
const BAR_DAYS: u32 = 90;

/// Maximum number of incidents.
const SHOWN_INCIDENTS: usize = 50;

/// Maximum number of members of the group.
const SHOWN_MEMBERS: usize = 30;
