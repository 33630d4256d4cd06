//! Benchmark of the daemon: `cargo bench`, `-- --quick` for a short run, `-- --tls --blackbox-ratio` for some sections.
//!
//! The binary probes servers on loopback in this process, alternating with a baseline: a loop over epoll that connects and
//! closes, which is the minimum cost of a probe. Each round yields a ratio of both; the result is the median of the rounds,
//! because no machine is always idle. The report is a table of figures, each with its aim. Comparisons with programs that
//! are missing are skipped, see `benches/fetch`.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot continue stops")]
#![expect(clippy::panic, reason = "a benchmark that cannot continue stops")]
#![expect(clippy::print_stdout, reason = "the report is its output")]

use std::env;

#[cfg(target_os = "linux")]
mod daemon {
    pub(crate) mod accuracy;
    pub(crate) mod baseline;
    pub(crate) mod baseline_tls;
    pub(crate) mod binary;
    pub(crate) mod blackbox;
    pub(crate) mod blackbox_ratio;
    pub(crate) mod cores;
    pub(crate) mod cost;
    pub(crate) mod families;
    pub(crate) mod memory;
    pub(crate) mod past;
    pub(crate) mod plan;
    pub(crate) mod probing;
    pub(crate) mod process;
    pub(crate) mod prometheus;
    pub(crate) mod report;
    pub(crate) mod responder;
    pub(crate) mod running;
    pub(crate) mod samples;
    pub(crate) mod scale;
    pub(crate) mod schedule;
    pub(crate) mod scrape;
    pub(crate) mod scrape_client;
    pub(crate) mod scraping;
    pub(crate) mod sections;
    pub(crate) mod segment;
    pub(crate) mod servers;
    pub(crate) mod silent;
    pub(crate) mod snapshot;
    pub(crate) mod storage;
    pub(crate) mod tls;
    pub(crate) mod tls_servers;
    pub(crate) mod tools;
    pub(crate) mod tun;
    pub(crate) mod with_prometheus;
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    // `cargo bench` passes this flag. `cargo test --all-targets` runs this, too, and must not take minutes.
    if arguments.iter().any(|argument| argument == "--bench") {
        bench(&arguments);
    } else {
        println!("skipped: a benchmark takes minutes; run it with `cargo bench`");
    }
}

#[cfg(target_os = "linux")]
fn bench(arguments: &[String]) {
    use daemon::plan::Plan;
    use daemon::report::Report;
    use daemon::sections::SECTIONS;

    let given = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let some = SECTIONS.iter().any(|(flag, _)| given(flag));
    let plan = if given("--quick") { Plan::QUICK } else { Plan::FULL };
    let mut report = Report::begin(given("--quick"));
    for (_, section) in SECTIONS.iter().filter(|(flag, _)| !some || given(flag)) {
        section(&plan, &mut report);
    }
    report.end();
}

#[cfg(not(target_os = "linux"))]
fn bench(_arguments: &[String]) {
    println!("skipped: the baseline needs Linux");
}
