//! `portprobe demo`: the daemon with built-in servers as targets, and a welcome text.

use std::env;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use super::flags::DaemonArguments;
use super::{print, serve};
use crate::app::{self, LoadedFiles, Parts, process};
use crate::config;
use crate::demo::{Demo, Ports};
use crate::target::Shard;

/// Runs until a signal stops it. The servers stop after the daemon.
pub(super) fn run(arguments: &DaemonArguments) -> anyhow::Result<ExitCode> {
    let _flush = serve::log(arguments)?;
    serve::to_end(demonstrate(arguments))
}

async fn demonstrate(arguments: &DaemonArguments) -> anyhow::Result<ExitCode> {
    let signals = serve::signals()?;
    // A stored state counts only for the same URL.
    let ports = if arguments.store().path.is_some() { Ports::Stable } else { Ports::Any };
    let demo = Demo::start(ports)
        .await
        .context("cannot start the servers of the demo on loopback")?;
    let files = LoadedFiles::default();
    let configuration = demo.configuration();
    let config = files.finish(config::parse(&configuration, Path::new("demo"), &|_| None)?)?;
    let web_config = serve::web_config(arguments).await?;
    let (listen, external_url) = (arguments.listen(), arguments.web_external_url.clone());
    let (store, shard, host_name) = (&arguments.store(), Shard::default(), process::host_name());
    let parts = Parts { files, reload: None, listen, web_config, external_url, store, shard, host_name };
    let app = app::bind(config, parts).await?;
    print(&demo.welcome(&app.urls(), &program()))?;
    let ended = serve::until_stopped(app, signals).await;
    demo.stop().await;
    ended
}

/// Returns the name by which this program was called, as shown in the commands to try.
fn program() -> String {
    let called = env::args().next().unwrap_or_default();
    if called.is_empty() || called.len() > LONGEST_PROGRAM { env!("CARGO_PKG_NAME").to_owned() } else { called }
}

/// `target/release/portprobe` fits; a longer path would break lines on a terminal of 80 columns.
const LONGEST_PROGRAM: usize = 24;
