//! What portprobe costs: `cargo bench`; `cargo bench -- --quick` for a first look, `-- --tls` for TLS alone.
//!
//! The real binary probes servers on loopback that belong to this process. Beside it, in turns, runs the least that
//! connecting can cost: a loop over epoll that connects and closes. Each round of both gives one ratio, and the median
//! of the rounds is what counts, for no machine is quiet all the time. Prints a table of figures, each with its aim.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on ends there")]
#![expect(clippy::panic, reason = "a benchmark that cannot go on ends there")]
#![expect(clippy::print_stdout, reason = "the report is what it is for")]

use std::env;

#[cfg(target_os = "linux")]
mod daemon {
    pub(crate) mod bare;
    pub(crate) mod bare_tls;
    pub(crate) mod cost;
    pub(crate) mod memory;
    pub(crate) mod plan;
    pub(crate) mod probing;
    pub(crate) mod process;
    pub(crate) mod report;
    pub(crate) mod scrape;
    pub(crate) mod scraping;
    pub(crate) mod servers;
    pub(crate) mod tls;
    pub(crate) mod tls_servers;
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let given = |flag: &str| arguments.iter().any(|argument| argument == flag);
    // `cargo bench` says so; `cargo test --all-targets` runs this too, and must not take minutes for it.
    if given("--bench") {
        bench(given("--quick"), given("--tls"));
    } else {
        println!("not run: a benchmark takes minutes; `cargo bench` runs it");
    }
}

#[cfg(target_os = "linux")]
fn bench(quick: bool, only_tls: bool) {
    use daemon::plan::Plan;
    use daemon::report::Report;
    use daemon::servers::Servers;
    use daemon::tls_servers::TlsServers;
    use daemon::{memory, probing, scraping, tls};

    let plan = if quick { Plan::QUICK } else { Plan::FULL };
    let mut report = Report::begin(quick);
    if !only_tls {
        let servers = Servers::start();
        probing::flat_out(&plan, &servers, &mut report);
        probing::paced(&plan, &servers, &mut report);
        let settled = memory::settle(&plan, &servers, &mut report);
        scraping::cost(&plan, &settled, &mut report);
        drop(settled);
        scraping::lag(&plan, &servers, &mut report);
    }
    let servers = TlsServers::start();
    tls::flat_out(&plan, &servers, &mut report);
    tls::memory(&plan, &servers, &mut report);
    report.end();
}

#[cfg(not(target_os = "linux"))]
fn bench(_quick: bool, _only_tls: bool) {
    println!("not run: the loop that portprobe is held against needs Linux");
}
