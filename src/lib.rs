//! portprobe is a Prometheus exporter that probes TCP ports, TLS and application protocols.
//!
//! ```text
//! portprobe.yaml --config--.
//!                           >-- targets --scheduler--> probe --> report --> board
//! sources --discovery------'               ^                                 |
//!                                          '------------- next --------------+--> metrics, page, log
//! ```
//!
//! The modules in the order of the flow; each may use those above it:
//!
//! - `clock`: the wall clock
//! - `duration`: durations in the format of Prometheus
//! - `histogram`: classic and native histograms as plain values
//! - `locks`: locks without poisoning
//! - `loop_lag`: how long this process did not run although it should have
//! - `mass_removal`: lists of targets that may be incomplete
//! - `peer_text`: escaping of text that peers send
//! - `shutdown`: signals that stop the daemon or request a reload
//! - `stable_hash`: a hash that is the same on all machines
//! - `tasks`: blocking work, and panics of tasks
//! - `target`: targets, their settings and groups
//! - `outcome`: the result of a probe, and the trait of a prober
//! - `options`: limits, histogram and resolver options
//! - `protocol`: application protocols
//! - `files`: bounded reads, digests and watching of files
//! - `config`: the configuration file, from YAML to targets
//! - `scheduler`: starts probes of due targets
//! - `probe`: probes over the network
//! - `discovery`: sources of more targets
//! - `audit`: port audits, which find ports that are open or not against the rules
//! - `board`: the state of all targets, derived from reports
//! - `inventory`: lists of targets, filtered and sorted
//! - `store`: states, daily figures and incidents across restarts
//! - `metrics`: the exposition for Prometheus
//! - `blackbox`: compatibility with blackbox_exporter
//! - `timeline`: an outcome as text, with advice, or as JSON
//! - `http`: the HTTP server and its routes
//! - `log`: log lines in logfmt or JSON
//! - `app`: the daemon, composed of all these
//! - `demo`: the servers of `portprobe demo`
//! - `cli`: flags and subcommands
//! - `fuzzing`: entry points for fuzz targets
//!
//! The binary is thin; this library exists so that tests can run the daemon in their own process. It has no stable
//! interface for other crates. The command line, the configuration and the metrics are the public interface.

pub mod clock;
pub mod duration;
pub mod histogram;
mod locks;
pub mod loop_lag;
mod mass_removal;
pub mod peer_text;
pub mod shutdown;
mod stable_hash;
mod tasks;
pub mod target;
pub mod outcome;
pub mod options;
pub mod protocol;
pub mod files;
pub mod config;
pub mod scheduler;
pub mod probe;
pub mod discovery;
pub mod audit;
pub mod board;
pub mod inventory;
pub mod store;
pub mod metrics;
pub mod blackbox;
mod timeline;
pub mod http;
pub mod log;
pub mod app;
pub mod demo;
pub mod cli;
#[cfg(fuzzing)]
pub mod fuzzing;
