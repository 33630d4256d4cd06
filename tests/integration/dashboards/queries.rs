//! Every query of every dashboard, as Grafana would put it, answered by real Prometheus servers that scrape real
//! daemons in every state.

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

/// Which of the two histograms a server stores.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Histograms {
    Classic,
    Native,
}

/// Queries that have no answer, each by dashboard, panel and query, and where.
const EMPTY: [(&str, &str, &str, Histograms); 5] = [
    // The classic histogram alone: each has its native counterpart, in the last row or behind an `or`.
    ("portprobe-target", "Time to connect, distribution", "A", Histograms::Native),
    ("portprobe-target", "TLS handshake, distribution", "A", Histograms::Native),
    ("portprobe-exporter", "Schedule lag, distribution", "A", Histograms::Native),
    // The native histogram alone: the row says that it needs a server that stores it.
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
        let panels = dashboards.iter().filter(|dashboard| dashboard.uid() == uid).flat_map(Dashboard::panels);
        let mut targets = panels.filter(|panel| panel.title() == title).flat_map(Panel::targets);
        assert!(targets.any(|target| target.id() == id), "{uid}: {title}: {id}");
    }
}

/// Waits until this server answers everything as demanded.
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
    // What may be empty was so at first for want of samples, too; by now the others have theirs.
    for asked in dashboards.iter().flat_map(asked) {
        assert_eq!(asked.filled(&prometheus, histograms).await, Vec::<String>::new(), "{asked:?}");
    }
}

/// Everything of a dashboard that asks.
fn asked(dashboard: &Dashboard) -> impl Iterator<Item = Asked<'_>> {
    let panels = dashboard.panels().into_iter().map(|panel| Asked::panel(dashboard, panel));
    let variables = dashboard.variables().into_iter().filter_map(|variable| Asked::variable(dashboard, variable));
    panels.chain(variables)
}

/// Those of which an answer is not as demanded, each with what is wrong.
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
