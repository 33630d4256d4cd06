//! Every query of every dashboard, as from Grafana, against real Prometheus servers that scrape daemons in every state.

use std::cell::RefCell;
use std::path::Path;

use crate::support::dashboards::{Dashboard, Panel};
use crate::support::services::{self, Prometheus};
use crate::support::{requires_program, wait};

mod answers;
mod choices;
mod counts;
mod world;

use answers::Asked;
use world::World;

/// The kind of histograms that a server stores.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Histograms {
    Classic,
    Native,
}

/// Queries without a result: dashboard, panel, query, and the kind of histograms.
const EMPTY: [(&str, &str, &str, Histograms); 5] = [
    // Only classic histograms: each has a native counterpart, in the last row or after an `or`.
    ("portprobe-target", "Time to connect, distribution", "A", Histograms::Native),
    ("portprobe-target", "TLS handshake, distribution", "A", Histograms::Native),
    ("portprobe-exporter", "Schedule lag, distribution", "A", Histograms::Native),
    // Only native histograms: the row states that it needs a server that stores them.
    ("portprobe-target", "Time to connect, fine", "A", Histograms::Classic),
    ("portprobe-target", "TLS handshake, fine", "A", Histograms::Classic),
];

#[tokio::test]
async fn prometheus_answers_every_query() {
    if !requires_program("promtool") {
        return;
    }
    let programs = services::prometheus_programs();
    let world = World::start().await;
    for program in programs {
        let [classic, native] = [Histograms::Classic, Histograms::Native];
        tokio::join!(assert_answered(&world, &program, classic), assert_answered(&world, &program, native));
    }
}

#[test]
fn what_may_be_empty_exists() {
    let dashboards = Dashboard::all();
    for (uid, title, id, _) in EMPTY {
        let panels = dashboards
            .iter()
            .filter(|dashboard| dashboard.uid() == uid)
            .flat_map(Dashboard::panels);
        let mut targets = panels.filter(|panel| panel.title() == title).flat_map(Panel::targets);
        assert!(targets.any(|target| target.id() == id), "{uid}: {title}: {id}");
    }
}

/// Waits until all results of this server are as required.
async fn assert_answered(world: &World, program: &Path, histograms: Histograms) {
    let prometheus = world.prometheus(program, histograms).await;
    let dashboards = Dashboard::all();
    let missing = RefCell::new(dashboards.iter().flat_map(asked).map(|asked| (asked, Vec::new())).collect());
    wait::until_patiently(&format!("{} answers, {histograms:?}", program.display()), async || {
        let before: Vec<_> = missing.take();
        let count = before.len();
        let still = still_missing(before, &prometheus, histograms).await;
        if still.len() < count {
            println!("{} missing: {:#?}", still.len(), still.iter().take(20).collect::<Vec<_>>());
        }
        missing.replace(still);
        missing.borrow().is_empty()
    })
    .await;
    choices::assert_narrow(&prometheus, &dashboards, world.supplement()).await;
    counts::assert_right(&prometheus, &dashboards).await;
    // Queries that may be empty also were at first, without samples; by now the others have theirs.
    for asked in dashboards.iter().flat_map(asked) {
        assert_eq!(asked.filled(&prometheus, histograms).await, Vec::<String>::new(), "{asked:?}");
    }
}

/// Everything in a dashboard with a query.
fn asked(dashboard: &Dashboard) -> impl Iterator<Item = Asked<'_>> {
    let panels = dashboard.panels().into_iter().map(|panel| Asked::panel(dashboard, panel));
    let variables = dashboard
        .variables()
        .into_iter()
        .filter_map(|variable| Asked::variable(dashboard, variable));
    panels.chain(variables)
}

/// The ones with a wrong result, each with the error.
async fn still_missing<'a>(
    asked: Vec<(Asked<'a>, Vec<String>)>,
    prometheus: &Prometheus,
    histograms: Histograms,
) -> Vec<(Asked<'a>, Vec<String>)> {
    let mut missing = Vec::new();
    for (asked, _) in asked {
        let wrong = asked.wrong(prometheus, histograms).await;
        if !wrong.is_empty() {
            missing.push((asked, wrong));
        }
    }
    missing
}
