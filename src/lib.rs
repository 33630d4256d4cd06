//! portprobe probes whatever listens on a TCP port and tells Prometheus.
//!
//! ```text
//! portprobe.yaml --config--.
//!                           >-- targets --scheduler--> probe --> report --> board
//! sources --discovery------'               ^                                 |
//!                                          '------------- next --------------+--> metrics, page, log: made when asked
//! ```
//!
//! The binary is thin; this library exists so that tests can run the daemon in their own process. It promises no
//! stable interface to other crates: what users rely on is the command line, the configuration and the metrics.

// In the order of the flow: words first, then who makes them, who uses them, and who joins everything.
pub mod clock;
pub mod duration;
pub mod histogram;
mod locks;
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
pub mod board;
pub mod metrics;
pub mod http;
pub mod log;
pub mod app;
pub mod demo;
pub mod cli;
#[cfg(fuzzing)]
pub mod fuzzing;
