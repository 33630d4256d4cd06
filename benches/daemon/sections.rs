//! The sections of a run, each with the flag that selects it.

use super::plan::Plan;
use super::report::Report;
use super::scraping::Labels;
use super::servers::{Filtered, Servers};
use super::tls_servers::TlsServers;
use super::{
    accuracy, binary, blackbox_ratio, families, memory, probing, scale, schedule, scraping, silent, storage, tls,
    with_prometheus,
};

type Section = fn(&Plan, &mut Report);

pub(crate) const SECTIONS: [(&str, Section); 13] = [
    ("--binary", size),
    ("--probes", probes),
    ("--scrapes", scrapes),
    ("--tls", handshakes),
    ("--blackbox-ratio", blackbox_ratios),
    ("--with-prometheus", both),
    ("--silent", unanswered),
    ("--accuracy", accuracy::accuracy),
    ("--schedule", schedules),
    ("--filtered", filtered),
    ("--start", starts),
    ("--storage", storage::storage),
    ("--million", scale::million),
];

fn probes(plan: &Plan, report: &mut Report) {
    let servers = Servers::start();
    probing::maximum(plan, &servers, report);
    probing::paced(plan, &servers, report);
}

/// Includes the memory of targets, because a scrape needs a settled daemon.
fn scrapes(plan: &Plan, report: &mut Report) {
    let servers = Servers::start();
    let settled = memory::settle(plan, &servers, report);
    scraping::cost(plan, &settled, Labels::Target, report);
    drop(settled);
    scraping::cost_with_labels(plan, &servers, report);
    families::cost(plan, &servers, report);
    scraping::lag(plan, &servers, report);
}

fn handshakes(plan: &Plan, report: &mut Report) {
    let servers = TlsServers::start();
    tls::maximum(plan, &servers, report);
    tls::memory(plan, &servers, report);
}

fn blackbox_ratios(plan: &Plan, report: &mut Report) {
    blackbox_ratio::tcp(plan, &Servers::start(), report);
    blackbox_ratio::tls(plan, &TlsServers::start(), report);
}

fn both(plan: &Plan, report: &mut Report) {
    with_prometheus::compare(plan, &Servers::start(), report);
}

fn unanswered(_: &Plan, report: &mut Report) {
    silent::cost(&Servers::start(), &Filtered::start(), report);
}

fn size(_: &Plan, report: &mut Report) {
    binary::size(report);
}

fn schedules(plan: &Plan, report: &mut Report) {
    schedule::grid(plan, &Servers::start(), report);
}

fn filtered(plan: &Plan, report: &mut Report) {
    schedule::filtered(plan, &Servers::start(), report);
}

fn starts(plan: &Plan, report: &mut Report) {
    scale::start(plan, &Servers::start(), report);
}
