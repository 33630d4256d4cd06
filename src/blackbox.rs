//! Compatibility with blackbox_exporter.
//!
//! `import` converts its configuration, and the scrape configurations of Prometheus that use it. `compare` probes the
//! same targets with it and with portprobe; `exporter` asks it. `metrics` has its metrics for an outcome.

pub mod compare;
pub mod exporter;
pub mod import;
pub mod metrics;
