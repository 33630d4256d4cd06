//! Tests of the whole: the binary, the kernel, and servers from packages of the distribution.
//!
//! A test without its required root access or program is skipped with a message; if `PORTPROBE_TESTS_REQUIRE_ALL` is set,
//! it fails instead.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]
#![expect(clippy::panic, reason = "a panic fails the test")]
#![expect(clippy::print_stdout, reason = "a skipped test reports that")]
#![expect(clippy::indexing_slicing, reason = "a panic fails the test")]

mod integration {
    mod agent;
    #[cfg(target_os = "linux")]
    mod alerting;
    mod alerts;
    mod allocations;
    mod api;
    mod audit;
    mod command_line;
    #[cfg(target_os = "linux")]
    mod compose;
    mod config;
    mod daemon;
    mod dashboards;
    mod demo;
    mod discovery;
    mod dns;
    mod docs;
    mod formats;
    mod front_door;
    #[cfg(target_os = "linux")]
    mod image;
    mod kubernetes;
    mod loopback;
    #[cfg(target_os = "linux")]
    mod migration;
    #[cfg(target_os = "linux")]
    mod namespaces;
    #[cfg(target_os = "linux")]
    mod package;
    mod probe_command;
    mod probe_endpoint;
    mod probe_now;
    mod prometheus;
    mod protocols;
    mod public;

    #[cfg(target_os = "linux")]
    mod regions;
    mod reload;
    #[cfg(target_os = "linux")]
    mod resolver;
    #[cfg(target_os = "linux")]
    mod service;
    mod shortage;
    #[cfg(target_os = "linux")]
    mod sources;
    #[cfg(target_os = "linux")]
    mod starvation;
    mod status_page;
    #[cfg(target_os = "linux")]
    mod storage;
    mod subscriptions;
    #[cfg(target_os = "linux")]
    mod threads;
    mod tls;
    mod web_config;
}
mod support;
