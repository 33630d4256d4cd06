//! Programs to compare with, if they are present.

use std::env;
use std::path::{Path, PathBuf};

/// The `blackbox_exporter` that `benches/fetch` unpacked, or the one that `PORTPROBE_BENCH_BLACKBOX` names.
pub(crate) fn blackbox() -> Option<PathBuf> {
    find("PORTPROBE_BENCH_BLACKBOX", "target/bench-tools/usr/bin/prometheus-blackbox-exporter")
}

/// The Prometheus that `tests/run` unpacked, or the one that `PORTPROBE_BENCH_PROMETHEUS` names.
pub(crate) fn prometheus() -> Option<PathBuf> {
    find("PORTPROBE_BENCH_PROMETHEUS", "target/test-tools/usr/bin/prometheus")
}

fn find(variable: &str, usual: &str) -> Option<PathBuf> {
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join(usual);
    Some(env::var_os(variable).map_or(usual, PathBuf::from)).filter(|path| path.is_file())
}

/// The reason for skipping it.
pub(crate) const NO_BLACKBOX: &str = "blackbox_exporter is missing; benches/fetch downloads it";

/// The reason for skipping it.
pub(crate) const NO_PROMETHEUS: &str = "Prometheus is missing; tests/run downloads it";
