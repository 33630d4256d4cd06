//! The list of all targets: its filters, its rows and its pages.

use std::collections::{BTreeSet, HashMap};

use super::Sources;
use super::attention::Concern;
use super::bars::{Bars, Sparkline, uptime};
use super::links::{Root, pairs, sort_name};
use super::neighbours::NamedLink;
use super::times::{Moment, brief};
use super::why::title;
use crate::board::{Day, DayFigures, Recent, State};
use crate::inventory::{Page, Sort, SortKey, TargetQuery, TargetSummary};
use crate::peer_text::{escaped, is_invisible};
use crate::target::TargetName;

/// The list of all targets.
#[derive(Clone, Debug)]
pub(super) struct List {
    pub(super) filters: Filters,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<ListRow>,
    pub(super) paging: Paging,
}

/// The form with the filters.
#[derive(Clone, Debug)]
pub(super) struct Filters {
    pub(super) text: String,
    pub(super) label: String,
    pub(super) states: Vec<Choice>,
    pub(super) protocols: Vec<Choice>,
    pub(super) groups: Vec<Choice>,
    pub(super) sorts: Vec<Choice>,
    /// Labels that occur, to choose from.
    pub(super) labels: Vec<String>,
    /// Parameters without a field.
    pub(super) hidden: Vec<(&'static str, String)>,
    /// The filters that are set.
    pub(super) active: Vec<ActiveFilter>,
    /// The link without filters.
    pub(super) reset: String,
}

/// A choice of a field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) words: String,
    pub(super) is_chosen: bool,
}

/// A filter that is set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ActiveFilter {
    pub(super) words: String,
    /// The link without it.
    pub(super) remove: String,
}

/// The heading of a column.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Column {
    pub(super) class: &'static str,
    pub(super) words: &'static str,
    /// The link that sorts by it.
    pub(super) link: Option<String>,
    /// `ascending` or `descending` if the list is sorted by it.
    pub(super) order: Option<&'static str>,
}

/// A target of the list.
#[derive(Clone, Debug)]
pub(super) struct ListRow {
    pub(super) id: String,
    pub(super) target: NamedLink,
    /// The URL, unless it is the name.
    pub(super) url: Option<String>,
    pub(super) state: &'static str,
    pub(super) since: Option<Moment>,
    /// The reason of a failure, or reasons for attention.
    pub(super) notes: Vec<String>,
    pub(super) outcomes: Bars,
    pub(super) days: Bars,
    /// Today, 30 and 90 days.
    pub(super) uptimes: [String; 3],
    pub(super) latency: String,
    pub(super) sparkline: Option<Sparkline>,
}

/// The part of the list that is shown.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Paging {
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) total: usize,
    pub(super) previous: Option<String>,
    pub(super) next: Option<String>,
    /// The link to the last page, if this one is beyond the end.
    pub(super) end: Option<String>,
}

impl List {
    /// Reads the requested part of the targets that match. `all` are the targets without any filter.
    pub(super) fn read(
        sources: &Sources,
        query: &TargetQuery,
        matching: &[&TargetSummary],
        all: &[TargetSummary],
        root: &Root,
    ) -> Self {
        let shown: Vec<_> = matching
            .iter()
            .copied()
            .skip(query.page.offset)
            .take(query.page.limit)
            .collect();
        Self {
            filters: Filters::of(query, all, root),
            columns: columns(query, root),
            rows: rows(sources, &shown, root),
            paging: Paging::of(query, matching.len(), shown.len(), root),
        }
    }
}

fn rows(sources: &Sources, shown: &[&TargetSummary], root: &Root) -> Vec<ListRow> {
    let today = Day::of(sources.now);
    let since = Day::from_number(today.number().saturating_sub(SHOWN_DAYS - 1));
    let names: Vec<_> = shown.iter().map(|summary| &summary.target.name).collect();
    let days = sources.store.as_ref().map(|store| store.days_of_each(&names, since, today));
    let mut days = days.unwrap_or_default().into_iter();
    let row = |summary: &&TargetSummary| {
        let recent = recent(sources, &summary.target.name);
        ListRow::of(sources, summary, &recent, &days.next().unwrap_or_default(), root)
    };
    shown.iter().map(row).collect()
}

/// Returns the last outcomes of a target.
pub(super) fn recent(sources: &Sources, name: &TargetName) -> Vec<Recent> {
    let rows = &sources.view.rows;
    rows.find(name, |row| row.history().iter().collect()).unwrap_or_default()
}

impl ListRow {
    fn of(sources: &Sources, summary: &TargetSummary, recent: &[Recent], days: &[DayFigures], root: &Root) -> Self {
        let target = &*summary.target;
        let today = Day::of(sources.now);
        let url = target.endpoint.to_string();
        let uptime = |count| uptime(days, today, count).unwrap_or_else(|| "–".to_owned());
        Self {
            id: super::id("row", &target.name),
            target: NamedLink::of(&target.name, root),
            url: (url != target.name.as_str()).then(|| escaped(&url)),
            state: summary.state.as_str(),
            since: summary.since.map(|since| Moment::of(since, sources.now)),
            notes: notes(sources, summary),
            outcomes: Bars::of_outcomes(recent, SHOWN_OUTCOMES),
            days: Bars::of_days(days, today, SHOWN_DAYS),
            uptimes: [uptime(1), uptime(30), uptime(90)],
            latency: summary.duration.map_or_else(|| "–".to_owned(), brief),
            sparkline: Sparkline::of(recent, SHOWN_OUTCOMES, SPARKLINE_HEIGHT),
        }
    }
}

/// Returns the reason of a failure, or the reasons for attention.
fn notes(sources: &Sources, summary: &TargetSummary) -> Vec<String> {
    if summary.state == State::Unknown && summary.last_probe.is_none() {
        return vec!["no probe has finished yet".to_owned()];
    }
    if let Some(failure) = &summary.failure {
        let unconfirmed = if summary.state == State::Down { "" } else { ", not confirmed" };
        return vec![format!(
            "{}: {} in {}{unconfirmed}",
            title(failure.class),
            failure.class.as_str(),
            failure.phase.as_str()
        )];
    }
    let concerns = Concern::ALL.into_iter().filter(|concern| concern.applies(summary, sources.now));
    concerns.map(|concern| concern.in_words(summary, sources.now)).collect()
}

fn columns(query: &TargetQuery, root: &Root) -> Vec<Column> {
    let sorted = |class, words, by: SortKey| {
        let order = (query.sort.by == by).then_some(query.sort.is_descending);
        let sort = Sort { by, is_descending: order == Some(false) };
        let first_page = Page { offset: 0, ..query.page };
        Column {
            class,
            words,
            link: Some(root.targets(&TargetQuery { sort, page: first_page, ..query.clone() })),
            order: order.map(|is_descending| if is_descending { "descending" } else { "ascending" }),
        }
    };
    let plain = |class, words| Column { class, words, link: None, order: None };
    vec![
        sorted("state", "State", SortKey::State),
        sorted("name", "Target", SortKey::Name),
        sorted("since", "For", SortKey::Since),
        plain("outcomes", "Last probes"),
        plain("days", "90 days"),
        plain("uptime", "Today"),
        plain("uptime wide", "30 d"),
        plain("uptime wide", "90 d"),
        sorted("latency", "Latency", SortKey::Duration),
    ]
}

impl Filters {
    fn of(query: &TargetQuery, all: &[TargetSummary], root: &Root) -> Self {
        let targets = || all.iter().map(|summary| &*summary.target);
        let protocols: BTreeSet<_> = targets().map(|target| target.endpoint.protocol.as_str()).collect();
        let groups = targets().filter_map(|target| target.group.as_ref());
        let groups: BTreeSet<_> = groups.map(|group| group.name.as_str()).collect();
        let state = query.states.first().filter(|_| query.states.len() == 1);
        let mut hidden: Vec<(&'static str, String)> = Vec::new();
        // A field has one value; all others stay as they are.
        if query.states.len() > 1 {
            hidden.extend(query.states.iter().map(|state| ("state", state.as_str().to_owned())));
        }
        let labels = query.labels.iter().map(|(name, value)| format!("{name}={value}"));
        hidden.extend(labels.clone().skip(1).map(|label| ("label", label)));
        if query.page.limit != Page::default().limit {
            hidden.push(("limit", query.page.limit.to_string()));
        }
        Self {
            text: query.text.clone().unwrap_or_default(),
            label: labels.clone().next().unwrap_or_default(),
            states: choices(
                [State::Down, State::Unknown, State::Up].map(State::as_str),
                state.map(|state| state.as_str()),
            ),
            protocols: choices(protocols, query.protocol.as_deref()),
            groups: choices(groups, query.group.as_deref()),
            sorts: sorts(query.sort),
            labels: usual_labels(all),
            hidden,
            active: active(query, root),
            reset: root.targets(&TargetQuery::default()),
        }
    }
}

/// Returns the choices of a field. A value that does not occur is a choice if it is chosen.
fn choices<'a>(values: impl IntoIterator<Item = &'a str>, chosen: Option<&'a str>) -> Vec<Choice> {
    let mut values: Vec<_> = values.into_iter().take(MAX_CHOICES).collect();
    values.extend(chosen.filter(|chosen| !values.contains(chosen)));
    let choice =
        |value: &str| Choice { value: value.to_owned(), words: escaped(value), is_chosen: chosen == Some(value) };
    values.into_iter().map(choice).collect()
}

fn sorts(chosen: Sort) -> Vec<Choice> {
    let choice = |(by, is_descending, words): (SortKey, bool, &str)| {
        let sort = Sort { by, is_descending };
        Choice { value: sort_name(sort), words: words.to_owned(), is_chosen: sort == chosen }
    };
    SORTS.map(choice).into()
}

/// Returns the most frequent labels.
fn usual_labels(all: &[TargetSummary]) -> Vec<String> {
    let mut counts: HashMap<(&str, &str), usize> = HashMap::new();
    let labels = all.iter().flat_map(|summary| summary.target.labels.iter());
    // A browser shows them as they are.
    let labels = labels.filter(|(_, value)| !value.chars().any(is_invisible));
    labels.for_each(|label| *counts.entry(label).or_default() += 1);
    let mut usual: Vec<_> = counts.into_iter().collect();
    usual.sort_by(|(a, count_a), (b, count_b)| count_b.cmp(count_a).then_with(|| a.cmp(b)));
    usual
        .into_iter()
        .take(MAX_LABELS)
        .map(|((name, value), _)| format!("{name}={value}"))
        .collect()
}

/// Returns each filter with the link that removes it.
fn active(query: &TargetQuery, root: &Root) -> Vec<ActiveFilter> {
    let page = Page { offset: 0, ..query.page };
    let filters = TargetQuery { sort: Sort::default(), page: Page::default(), ..query.clone() };
    let filter = |(name, value): (&'static str, std::borrow::Cow<'_, str>)| {
        let mut rest = TargetQuery { page, ..query.clone() };
        match name {
            "state" => rest.states.retain(|state| state.as_str() != value),
            "label" => rest.labels.retain(|(name, found)| format!("{name}={found}") != value),
            "group" => rest.group = None,
            "protocol" => rest.protocol = None,
            _ => rest.text = None,
        }
        ActiveFilter { words: format!("{name}: {}", escaped(&value)), remove: root.targets(&rest) }
    };
    pairs(&filters).into_iter().map(filter).collect()
}

impl Paging {
    fn of(query: &TargetQuery, total: usize, shown: usize, root: &Root) -> Self {
        let Page { limit, offset } = query.page;
        let at = |offset| root.targets(&TargetQuery { page: Page { limit, offset }, ..query.clone() });
        let last_page = total.saturating_sub(1) / limit.max(1) * limit;
        Self {
            first: if shown == 0 { 0 } else { offset + 1 },
            last: if shown == 0 { 0 } else { offset + shown },
            total,
            previous: (offset > 0 && shown > 0).then(|| at(offset.saturating_sub(limit))),
            next: (shown > 0 && offset + shown < total).then(|| at(offset + limit)),
            end: (shown == 0 && total > 0).then(|| at(last_page)),
        }
    }
}

const SORTS: [(SortKey, bool, &str); 10] = [
    (SortKey::Name, false, "name"),
    (SortKey::Name, true, "name, reversed"),
    (SortKey::State, false, "state, down first"),
    (SortKey::State, true, "state, up first"),
    (SortKey::Since, true, "latest change first"),
    (SortKey::Since, false, "oldest change first"),
    (SortKey::Duration, true, "slowest first"),
    (SortKey::Duration, false, "fastest first"),
    (SortKey::Expiry, false, "first to expire"),
    (SortKey::Expiry, true, "last to expire"),
];

/// Number of outcomes in a row.
const SHOWN_OUTCOMES: usize = 30;

/// Number of days in a row.
const SHOWN_DAYS: u32 = 90;

const SPARKLINE_HEIGHT: u16 = 20;

/// Maximum number of choices of a field.
const MAX_CHOICES: usize = 500;

/// Maximum number of labels to choose from.
const MAX_LABELS: usize = 200;
