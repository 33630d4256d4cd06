//! The page at `/`: what is down and why, what deserves attention, then all targets.

use std::collections::BTreeSet;

use askama::Template;

use super::attention::{Attention, Concern};
use super::bars::Bars;
use super::headline::{Headline, may_be_own_fault};
use super::health::Health;
use super::links::Root;
use super::list::{List, recent};
use super::neighbours::{NamedLink, Neighbourhood, Neighbours};
use super::times::Moment;
use super::why::{Why, probe_command};
use super::{Frame, Sources};
use crate::board::{GroupStatus, State, StateCounts};
use crate::inventory::{Page, Sort, SortKey, TargetQuery, TargetSummary};
use crate::peer_text::escaped;

/// The page at `/`.
#[derive(Debug, Template)]
#[template(path = "overview.html")]
pub(super) struct Overview {
    frame: Frame,
    headline: Headline,
    /// The headline of the targets that match the filters, if there are any filters.
    matching: Option<Headline>,
    counts: Vec<Count>,
    may_be_own_fault: bool,
    health: Health,
    groups: Vec<GroupCard>,
    down: Vec<DownCard>,
    /// Whether the advice of all but the latest cards is closed at first, because there are many.
    is_folded: bool,
    /// Number of targets that are down without a card.
    more_down: usize,
    all_down: String,
    attention: Vec<Attention>,
    list: List,
}

/// A number of targets, with the link to them.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Count {
    state: &'static str,
    number: usize,
    link: String,
    /// The part of all targets, in per mille, and where it begins in the drawing.
    share: (usize, usize),
}

/// A group without quorum.
#[derive(Clone, Debug, Eq, PartialEq)]
struct GroupCard {
    name: String,
    link: String,
    words: String,
    down: Vec<NamedLink>,
}

/// A target that is down.
#[derive(Clone, Debug)]
struct DownCard {
    id: String,
    target: NamedLink,
    url: Option<String>,
    since: Option<Moment>,
    why: Option<Why>,
    command: String,
    neighbours: Vec<Neighbourhood>,
    bars: Bars,
}

impl Overview {
    pub(super) fn read(sources: &Sources, query: &TargetQuery, root: &Root) -> Self {
        let all = TargetQuery { sort: query.sort, ..TargetQuery::default() }.all(&sources.view.rows);
        let filter = query.filter();
        let in_scope = all.targets.iter().filter(|summary| filter.admits_in_any_state(&summary.target));
        let in_scope: Vec<_> = in_scope.collect();
        let matching = in_scope.iter().filter(|summary| filter.admits(&summary.target, summary.state));
        let matching: Vec<_> = matching.copied().collect();
        let scope = TargetQuery { states: Vec::new(), page: Page::default(), ..query.clone() };
        let is_filtered = scope != TargetQuery { sort: query.sort, ..TargetQuery::default() };
        let of_scope = counted(&in_scope);
        let (down, more_down) =
            if is_first_view(query) { cards(sources, &in_scope, &all.targets, root) } else { (Vec::new(), 0) };
        let attention = if is_first_view(query) { attention(sources, &in_scope, root) } else { Vec::new() };
        let by_change = Sort { by: SortKey::Since, is_descending: true };
        let headline = Headline::of_all(all.counts);
        Self {
            frame: Frame::new(sources, title(&headline), root.clone()),
            headline,
            matching: is_filtered.then(|| Headline::of_matching(of_scope)),
            counts: counts(if is_filtered { of_scope } else { all.counts }, &scope, root),
            may_be_own_fault: may_be_own_fault(all.counts),
            health: Health::read(sources, &all.targets),
            groups: if is_first_view(query) { groups(sources, &in_scope, root) } else { Vec::new() },
            is_folded: down.len() > MAX_OPEN_CARDS,
            down,
            more_down,
            all_down: root.targets(&TargetQuery { states: vec![State::Down], sort: by_change, ..scope }),
            attention,
            list: List::read(sources, query, &matching, &all.targets, root),
        }
    }
}

/// Returns the title of the window, which shows a problem even if only its first characters are visible.
fn title(headline: &Headline) -> String {
    let mark = match headline.state {
        State::Down => "✖ ",
        State::Unknown => "? ",
        State::Up => "✔ ",
    };
    format!("{mark}{} – portprobe", headline.words)
}

/// Returns whether the whole of a list is wanted, so that its worst comes first.
fn is_first_view(query: &TargetQuery) -> bool {
    query.states.is_empty() && query.page.offset == 0
}

fn counted(summaries: &[&TargetSummary]) -> StateCounts {
    let mut counts = StateCounts::default();
    for summary in summaries {
        counts.count(summary.state);
    }
    counts
}

fn counts(of: StateCounts, scope: &TargetQuery, root: &Root) -> Vec<Count> {
    let mut begin = 0;
    let states = [(State::Down, of.down), (State::Unknown, of.unknown), (State::Up, of.up)];
    let count = |(state, number): (State, usize)| {
        // At least 1 %, so that one of thousands is visible.
        let width = if number == 0 { 0 } else { (number * 1000 / of.total().max(1)).max(10) };
        let share = (begin, width);
        begin += width;
        let link = root.targets(&TargetQuery { states: vec![state], ..scope.clone() });
        Count { state: state.as_str(), number, link, share }
    };
    states.map(count).into()
}

/// Returns the targets that are down, the latest first, and the number of further ones.
fn cards(sources: &Sources, in_scope: &[&TargetSummary], all: &[TargetSummary], root: &Root) -> (Vec<DownCard>, usize) {
    let mut down: Vec<_> = in_scope
        .iter()
        .copied()
        .filter(|summary| summary.state == State::Down)
        .collect();
    down.sort_by(|a, b| b.since.cmp(&a.since).then_with(|| a.target.name.cmp(&b.target.name)));
    let more = down.len().saturating_sub(MAX_CARDS);
    down.truncate(MAX_CARDS);
    let neighbours = Neighbours::of(&down, all);
    let card = |summary: &&TargetSummary| DownCard::of(sources, summary, &neighbours, root);
    (down.iter().map(card).collect(), more)
}

impl DownCard {
    fn of<'a>(sources: &Sources, summary: &'a TargetSummary, neighbours: &Neighbours<'a>, root: &Root) -> Self {
        let target = &*summary.target;
        let url = target.endpoint.to_string();
        let why = summary
            .failure
            .as_ref()
            .map(|failure| Why::of(failure, target, summary.address));
        Self {
            id: super::id("down", &target.name),
            target: NamedLink::of(&target.name, root),
            url: (url != target.name.as_str()).then(|| escaped(&url)),
            since: summary.since.map(|since| Moment::of(since, sources.now)),
            why,
            command: probe_command(&target.name),
            neighbours: neighbours.around(summary, root),
            bars: Bars::of_outcomes(&recent(sources, &target.name), CARD_OUTCOMES),
        }
    }
}

fn attention(sources: &Sources, in_scope: &[&TargetSummary], root: &Root) -> Vec<Attention> {
    let bars = |summary: &TargetSummary| Some(Bars::of_outcomes(&recent(sources, &summary.target.name), CARD_OUTCOMES));
    Concern::ALL
        .into_iter()
        .filter_map(|concern| concern.of(in_scope, sources.now, root, bars))
        .collect()
}

/// Returns the groups with too few members up that have a member in scope.
fn groups(sources: &Sources, in_scope: &[&TargetSummary], root: &Root) -> Vec<GroupCard> {
    let groups = in_scope.iter().filter_map(|summary| summary.target.group.as_ref());
    let names: BTreeSet<_> = groups.map(|group| &group.name).collect();
    let failed = sources.view.rows.groups().into_iter();
    let failed = failed.filter(|group| group.is_up() == Some(false) && names.contains(&group.group.name));
    let card = |status: GroupStatus| {
        let name = &status.group.name;
        let is_member = |summary: &&&TargetSummary| {
            summary.state == State::Down && summary.target.group.as_ref().is_some_and(|group| group.name == *name)
        };
        let down = in_scope.iter().filter(is_member).take(MAX_MEMBERS);
        GroupCard {
            name: escaped(name.as_str()),
            link: root.targets(&TargetQuery { group: Some(name.as_str().to_owned()), ..TargetQuery::default() }),
            words: format!("{} of {} members are up, {} must be", status.up, status.members, status.needed()),
            down: down.map(|summary| NamedLink::of(&summary.target.name, root)).collect(),
        }
    };
    failed.take(MAX_CARDS).map(card).collect()
}

/// Maximum number of cards.
const MAX_CARDS: usize = 25;

/// Maximum number of cards whose advice is open.
const MAX_OPEN_CARDS: usize = 6;

/// Maximum number of members of a group that are listed.
const MAX_MEMBERS: usize = 6;

/// Number of outcomes in a card.
const CARD_OUTCOMES: usize = 60;
