//! A snapshot of all targets of a daemon, although an exposition takes longer than a moment.

use std::collections::HashMap;
use std::thread::sleep;
use std::time::Duration;

use nix::time::ClockId;

use super::process::Daemon;
use super::scrape::{Encoding, Format, value};

/// A target between two of its probes. Values are seconds; points in time are since the epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    /// A point in time at which no probe was due.
    pub(crate) taken: f64,
    pub(crate) last: Last,
}

/// The last probe of a target, and the number of its probes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Last {
    pub(crate) probes: f64,
    pub(crate) ended: f64,
    pub(crate) connect: f64,
}

/// All targets. The intervals must be well above a second.
///
/// Families are written one after the other, so a probe can end between two families. A target counts once two consecutive
/// scrapes are equal for it.
pub(crate) fn snapshot(daemon: &Daemon) -> HashMap<String, Snapshot> {
    let (mut before, mut targets) = (now(), read(daemon));
    let mut settled = HashMap::new();
    while settled.len() < targets.len() {
        sleep(PAUSE);
        let (after, next) = (now(), read(daemon));
        for (target, last) in &next {
            if targets.get(target) == Some(last) {
                let taken = f64::midpoint(before, after);
                settled.entry(target.clone()).or_insert(Snapshot { taken, last: *last });
            }
        }
        (before, targets) = (after, next);
    }
    settled
}

fn read(daemon: &Daemon) -> HashMap<String, Last> {
    let text = daemon.scrape(Format::Text, Encoding::Plain);
    let mut targets: HashMap<String, Last> = HashMap::new();
    for line in str::from_utf8(&text).unwrap().lines() {
        let Some((family, labels)) = line.split_once("{target=\"") else { continue };
        let set: fn(&mut Last, f64) = match family {
            "portprobe_probes_total" => |last, value| last.probes = value,
            "portprobe_last_probe_timestamp_seconds" => |last, value| last.ended = value,
            "portprobe_phase_duration_seconds" if labels.contains("phase=\"connect\"") => {
                |last, value| last.connect = value
            }
            _ => continue,
        };
        let target = labels.split('"').next().unwrap();
        set(targets.entry(target.to_owned()).or_default(), value(line));
    }
    targets
}

/// The wall clock.
pub(crate) fn now() -> f64 {
    Duration::from(ClockId::CLOCK_REALTIME.now().unwrap()).as_secs_f64()
}

const PAUSE: Duration = Duration::from_millis(250);
