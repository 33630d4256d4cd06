//! Test of the allocations of a probe whose target already has state.

use std::net::TcpListener;
use std::slice;
use std::sync::Arc;

use portprobe::board::Board;
use portprobe::clock;
use portprobe::config::{ProbeRequest, SingleTarget, TargetLookup};
use portprobe::options::{HistogramOptions, ResolverOptions};
use portprobe::outcome::{Prober as _, Report};
use portprobe::probe::{NetworkProber, TlsStore};
use tokio::runtime;
use tokio::time::Instant;

/// With an address in the URL, a probe allocates a list of addresses to try and a list of attempts, with one entry
/// each. Inline, they would take memory in thousands of waiting probes. The task of a probe is not counted.
#[test]
fn a_port_probe_allocates_two_short_lists() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    let request = ProbeRequest { target: &url, flags: &[], config_file: None, module: None };
    let trust = Arc::new(TlsStore::default());
    let lookup = TargetLookup::new(request, &|_| None).unwrap();
    let SingleTarget { target, dns: _ } = lookup.by_url().finish(&[]).unwrap();
    // Native buckets are created on demand, which can happen at any time on a busy machine.
    let board = Board::new(HistogramOptions { native: false, ..HistogramOptions::default() });
    board.replace(slice::from_ref(&target));
    let prober = NetworkProber::new(ResolverOptions::default(), trust, Arc::default());
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let probe = || {
        let deadline = Instant::now() + target.settings.cadence.timeout();
        let outcome = runtime.block_on(prober.probe(&target, deadline));
        assert!(outcome.result.is_ok(), "{outcome:?}");
        board.record(&Report { target: target.clone(), outcome, ended: Instant::now(), ended_at: clock::now() });
        drop(listener.accept().unwrap());
    };
    (0..PROBES).for_each(|_| probe());
    let used = allocation_counter::measure(|| (0..PROBES).for_each(|_| probe()));
    assert_eq!(used.count_total, 2 * PROBES, "{used:?}");
    assert!(used.bytes_total <= 320 * PROBES, "{used:?}");
    assert_eq!(used.bytes_current, 0, "{used:?}");
}

/// Number of probes, enough to fill the history on the board.
const PROBES: u64 = 200;
