//! All queries of the dashboards, as Grafana sends them, against real Prometheus servers that scrape daemons in all states.

use std::cell::RefCell;
use std::path::Path;

use crate::support::dashboards::{Dashboard, Panel};
use crate::support::services::{self, Prometheus};
use crate::support::{requires_program, wait};

mod counts;
mod responses;
mod selections;
mod world;

use responses::Queried;
use world::World;

/// The kind of histograms that a server stores.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Histograms {
    Classic,
    Native,
}

/// Queries of events that may not happen here: dashboard, panel, query.
const OF_EVENTS: [(&str, &str, &str); 3] = [
    ("portprobe-exporter", "Skipped probes", "A"),
    ("portprobe-exporter", "File reload failures", "A"),
    ("portprobe-overview", "Unwatched targets", "B"),
];

#[tokio::test]
async fn prometheus_has_data_for_every_query() {
    if !requires_program("promtool") {
        return;
    }
    let programs = services::prometheus_programs();
    let world = World::start().await;
    for program in programs {
        let [classic, native] = [Histograms::Classic, Histograms::Native];
        tokio::join!(assert_complete(&world, &program, classic), assert_complete(&world, &program, native));
    }
}

#[test]
fn listed_queries_of_events_exist() {
    let dashboards = Dashboard::all();
    for (uid, title, id) in OF_EVENTS {
        let panels = dashboards
            .iter()
            .filter(|dashboard| dashboard.uid() == uid)
            .flat_map(Dashboard::panels);
        let mut targets = panels.filter(|panel| panel.title() == title).flat_map(Panel::targets);
        assert!(targets.any(|target| target.id() == id), "{uid}: {title}: {id}");
    }
}

/// Waits until all results of this server are as required.
async fn assert_complete(world: &World, program: &Path, histograms: Histograms) {
    let prometheus = world.prometheus(program, histograms).await;
    let dashboards = Dashboard::all();
    let missing = RefCell::new(
        dashboards
            .iter()
            .flat_map(queried)
            .map(|element| (element, Vec::new()))
            .collect(),
    );
    wait::until_patiently(&format!("{} has all data, {histograms:?}", program.display()), async || {
        let before: Vec<_> = missing.take();
        let count = before.len();
        let still = still_missing(before, &prometheus).await;
        if still.len() < count {
            println!("{} missing: {:#?}", still.len(), still.iter().take(20).collect::<Vec<_>>());
        }
        missing.replace(still);
        missing.borrow().is_empty()
    })
    .await;
    selections::assert_narrow(&prometheus, &dashboards, world.supplement()).await;
    counts::assert_right(&prometheus, &dashboards).await;
}

/// Everything with a query in a dashboard.
fn queried(dashboard: &Dashboard) -> impl Iterator<Item = Queried<'_>> {
    let panels = dashboard.panels().into_iter().map(|panel| Queried::panel(dashboard, panel));
    let variables = dashboard
        .variables()
        .into_iter()
        .filter_map(|variable| Queried::variable(dashboard, variable));
    panels.chain(variables)
}

/// The elements with wrong results, each with the errors.
async fn still_missing<'a>(
    elements: Vec<(Queried<'a>, Vec<String>)>,
    prometheus: &Prometheus,
) -> Vec<(Queried<'a>, Vec<String>)> {
    let mut missing = Vec::new();
    for (element, _) in elements {
        let wrong = element.wrong(prometheus).await;
        if !wrong.is_empty() {
            missing.push((element, wrong));
        }
    }
    missing
}
