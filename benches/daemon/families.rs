//! The cost of each family in a scrape. This process writes the exposition, because only here the pieces are visible.

use std::collections::HashMap;
use std::iter;
use std::path::Path;
use std::sync::Arc;

use portprobe::board::Board;
use portprobe::clock;
use portprobe::config;
use portprobe::metrics::{self, Format, Kind, Metrics};
use portprobe::options::ResolverOptions;
use portprobe::outcome::{Prober as _, Report as ProbeReport};
use portprobe::probe::NetworkProber;
use portprobe::target::{Shard, Target};
use tokio::runtime;
use tokio::time::Instant;

use super::cost::thread_cpu;
use super::memory::FEW;
use super::plan::Plan;
use super::probing::{BUSY_INTERVAL, usual_load};
use super::report::{Figure, Report, Unit};
use super::servers::Servers;

/// Writes the series of every target as text, repeatedly, and attributes the cost to families.
pub(crate) fn cost(plan: &Plan, servers: &Servers, report: &mut Report) {
    let text = usual_load(servers, BUSY_INTERVAL).configuration();
    let config = config::parse(&text, Path::new("portprobe.yaml"), &|_| None)
        .unwrap()
        .finish(&[])
        .unwrap();
    let board = Arc::new(Board::new(config.histograms));
    board.replace_with(&config.targets, HashMap::new(), |environment| environment.labels = Arc::new(config.labels));
    probe(&config.targets, &board);
    let metrics = Metrics::new(board, Arc::default(), None, Arc::default(), Shard::default());
    let walks: Vec<_> = (0..plan.scrapes).map(|_| walk(&metrics)).collect();
    report.section(format!("Metric families of a scrape of {FEW} targets, as text"));
    let mut rows = Vec::new();
    for family in metrics::families() {
        let all = || walks.iter().filter_map(|walk| walk.get(family.name));
        if all().next().is_none_or(|family| family.series < FEW) {
            continue;
        }
        let of_target = Figure::new("", Unit::Count, all().map(|family| family.series as f64 / FEW as f64));
        let of_series = Figure::new("", Unit::Nanoseconds, all().map(|family| family.cpu / family.series as f64));
        let of_all = Figure::new("", Unit::Milliseconds, all().map(|family| family.cpu));
        rows.push((family.name.to_owned(), vec![of_target, of_series, of_all]));
    }
    report.table(&["series per target", "CPU per series", "total CPU"], &rows);
}

/// Several probes of each target, because an empty histogram is cheap.
fn probe(targets: &[Arc<Target>], board: &Board) {
    let prober = NetworkProber::new(ResolverOptions::default(), Arc::default(), Arc::default());
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for target in iter::repeat_n(targets, PROBES).flatten() {
            let outcome = prober.probe(target, Instant::now() + target.settings.cadence.timeout()).await;
            let (target, ended) = (target.clone(), Instant::now());
            board.record(&ProbeReport { target, outcome, ended, ended_at: clock::now() });
        }
    });
}

/// The part of a family in a scrape.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    series: usize,
    /// CPU seconds.
    cpu: f64,
}

/// Writes everything once. A piece with two families is divided by bytes.
fn walk(metrics: &Metrics) -> HashMap<&'static str, Part> {
    let mut parts: HashMap<_, Part> = HashMap::new();
    let mut exposition = metrics.exposition(Format::Text);
    loop {
        let before = thread_cpu();
        let Some(piece) = exposition.next_piece().unwrap() else { return parts };
        let of_byte = thread_cpu().saturating_sub(before).as_secs_f64() / piece.len() as f64;
        for line in str::from_utf8(&piece).unwrap().lines().filter(|line| !line.starts_with('#')) {
            let part = parts.entry(family(line)).or_default();
            part.series += 1;
            part.cpu += of_byte * (line.len() + 1) as f64;
        }
    }
}

/// The family of a series.
fn family(line: &str) -> &'static str {
    let series = line.split(['{', ' ']).next().unwrap();
    let is_of = |name: &str, kind: Kind| match kind {
        Kind::Histogram => ["_bucket", "_count", "_sum"]
            .iter()
            .any(|end| series.strip_suffix(end) == Some(name)),
        Kind::Counter | Kind::Gauge => series == name,
    };
    metrics::families().find(|family| is_of(family.name, family.kind)).unwrap().name
}

const PROBES: usize = 5;
