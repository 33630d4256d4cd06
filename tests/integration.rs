//! Tests from the outside: the real binary, the kernel, and servers from the distribution's packages.
//!
//! A test that needs root or a program that is not there says so and is left out; with
//! `PORTPROBE_TESTS_REQUIRE_ALL` set it fails instead.

#![expect(clippy::unwrap_used, reason = "in a test a panic is a finding")]
#![expect(clippy::panic, reason = "in a test a panic is a finding")]
#![expect(clippy::print_stdout, reason = "a test that is left out says so")]
#![expect(clippy::indexing_slicing, reason = "in a test a panic is a finding")]

mod integration {
    mod agent;
    #[cfg(target_os = "linux")]
    mod alerting;
    mod alerts;
    mod allocations;
    #[cfg(target_os = "linux")]
    mod compose;
    mod config;
    mod daemon;
    mod dashboards;
    mod demo;
    mod discovery;
    mod dns;
    mod formats;
    mod front_door;
    #[cfg(target_os = "linux")]
    mod image;
    mod kubernetes;
    mod loopback;
    #[cfg(target_os = "linux")]
    mod namespaces;
    #[cfg(target_os = "linux")]
    mod package;
    mod probe_command;
    mod prometheus;
    mod protocols;
    mod readme;
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
    mod tls;
}
mod support;
