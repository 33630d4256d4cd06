//! The cost of a scrape, and its effect on the delay of probes.

use std::thread::sleep;
use std::time::Duration;

use tokio::time::Instant;

use super::memory::FEW;
use super::plan::Plan;
use super::probing::{BUSY_INTERVAL, rounds, usual_load};
use super::process::{Daemon, Observation};
use super::report::{Aim, Figure, Report, Unit};
use super::scrape::{Encoding, Format};
use super::servers::Servers;

/// Scrapes the daemon in every format and encoding.
pub(crate) fn cost(plan: &Plan, daemon: &Daemon, labels: Labels, report: &mut Report) {
    let series = daemon.exposed().series;
    let idle = idle_share(daemon);
    report.section(format!("Scrape of {FEW} targets with {}, {series} series as text", labels.as_str()));
    let mut details = Vec::new();
    for (format, encoding) in Format::ALL
        .into_iter()
        .flat_map(|format| Encoding::ALL.map(|encoding| (format, encoding)))
    {
        let name = format!("{}, {}", format.as_str(), encoding.as_str());
        let scrapes: Vec<_> = (0..plan.scrapes)
            .map(|_| Scrape::make(daemon, format, encoding, idle))
            .collect();
        let figure = |unit: Unit, of: &dyn Fn(&Scrape) -> f64| Figure::new(&*name, unit, scrapes.iter().map(of));
        report.add(&figure(Unit::Nanoseconds, &|scrape| scrape.cpu / series as f64).aim(labels.aim(encoding)));
        let cpu = figure(Unit::Milliseconds, &|scrape| scrape.cpu);
        let time = figure(Unit::Milliseconds, &|scrape| scrape.wall);
        let size = figure(Unit::Megabytes, &|scrape| scrape.bytes);
        details.push((name, vec![cpu, time, size]));
    }
    report.add(&Figure::new("memory after these scrapes", Unit::Megabytes, [daemon.resident_bytes()]));
    report.table(&["total CPU", "time", "size"], &details);
}

/// The labels of every series of a target.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Labels {
    /// Only its name.
    Target,
    /// Two more from the configuration.
    TwoMore,
}

impl Labels {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Target => "only `target` as a label",
            Self::TwoMore => "two more labels",
        }
    }

    /// The maximum CPU time of a series in seconds.
    const fn aim(self, encoding: Encoding) -> Aim {
        Aim::AtMost(match (self, encoding) {
            (Self::Target, Encoding::Plain) => 200e-9,
            (Self::Target, Encoding::Gzip) | (Self::TwoMore, Encoding::Plain) => 300e-9,
            (Self::TwoMore, Encoding::Gzip) => 420e-9,
        })
    }
}

/// The same with two more labels.
pub(crate) fn cost_with_labels(plan: &Plan, servers: &Servers, report: &mut Report) {
    let load = usual_load(servers, BUSY_INTERVAL);
    let labelled = format!("defaults: {{ labels: {{ {TWO_LABELS} }}, ");
    let daemon = Daemon::configured(&load.configuration().replacen("defaults: { ", &labelled, 1), None);
    daemon.wait_until_all_probed(load.interval);
    cost(plan, &daemon, Labels::TwoMore, report);
}

const TWO_LABELS: &str = "region: eu-central-1, team: orders";

/// Compares the delay of starts with continuous scrapes and without scrapes.
pub(crate) fn lag(plan: &Plan, servers: &Servers, report: &mut Report) {
    let load = usual_load(servers, BUSY_INTERVAL);
    let daemon = Daemon::start(&load);
    daemon.wait_until_all_probed(load.interval);
    let turns = rounds(plan.long_rounds, |round| {
        let unscraped = daemon.observe(|| sleep(plan.scraping));
        let mut scrapes = 0;
        let scraped = daemon.observe(|| scrapes = scrape_for(&daemon, plan.scraping));
        eprintln!("continuous scrapes, round {round} of {}", plan.long_rounds);
        LagTurn { unscraped, scraped, scrapes }
    });
    report.section(format!("{} targets, {:.0} probes per second, scraped continuously", load.targets, load.rate()));
    let of = |value: fn(&LagTurn) -> f64| turns.iter().map(value);
    report.add(&Figure::new("scrapes", Unit::PerSecond, of(LagTurn::scrape_rate)));
    report.add(&Figure::new("probes", Unit::PerSecond, of(|turn| turn.scraped.cost.rate())));
    report.add(&Figure::new(
        "start lag p99, without scrapes",
        Unit::Milliseconds,
        of(|turn| turn.unscraped.lag.quantile(0.99)),
    ));
    report.add(&Figure::new(
        "start lag p99, with scrapes",
        Unit::Milliseconds,
        of(|turn| turn.scraped.lag.quantile(0.99)),
    ));
    report.add(&Figure::new("ratio", Unit::Ratio, of(LagTurn::ratio)).aim(Aim::AtMost(1.5)));
}

/// The same daemon without and with scrapes.
struct LagTurn {
    unscraped: Observation,
    scraped: Observation,
    scrapes: u32,
}

impl LagTurn {
    fn scrape_rate(&self) -> f64 {
        f64::from(self.scrapes) / self.scraped.cost.wall.as_secs_f64()
    }

    fn ratio(&self) -> f64 {
        self.scraped.lag.quantile(0.99) / self.unscraped.lag.quantile(0.99)
    }
}

/// Scrapes in every format, one after the other; returns the number of scrapes.
fn scrape_for(daemon: &Daemon, time: Duration) -> u32 {
    let end = Instant::now() + time;
    let mut scrapes = 0;
    while Instant::now() < end {
        for format in Format::ALL {
            daemon.scrape(format, Encoding::Plain);
            scrapes += 1;
        }
    }
    scrapes
}

/// The part of a core that only probing takes.
fn idle_share(daemon: &Daemon) -> f64 {
    let (started, before) = (Instant::now(), daemon.cpu());
    sleep(Duration::from_secs(2));
    daemon.cpu().saturating_sub(before).as_secs_f64() / started.elapsed().as_secs_f64()
}

/// The cost of a scrape: seconds and bytes.
#[derive(Clone, Copy, Debug)]
struct Scrape {
    cpu: f64,
    wall: f64,
    bytes: f64,
}

impl Scrape {
    /// Scrapes once, while probing takes the `idle` part of a core.
    fn make(daemon: &Daemon, format: Format, encoding: Encoding, idle: f64) -> Self {
        let (started, before) = (Instant::now(), daemon.cpu());
        let bytes = daemon.scrape(format, encoding).len() as f64;
        let wall = started.elapsed().as_secs_f64();
        let cpu = daemon.cpu().saturating_sub(before).as_secs_f64() - idle * wall;
        Self { cpu, wall, bytes }
    }
}
