//! `portprobe import`: converts the configuration of blackbox_exporter, or compares its results with those of portprobe.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, ValueHint};

use super::{print, print_error};
use crate::app::LoadedFiles;
use crate::app::process::environment;
use crate::blackbox::compare::{compare, concealed};
use crate::blackbox::exporter::Exporter;
use crate::blackbox::import::{Imported, ProbePair, TargetFiles, import};
use crate::config::{self, Config, ForeignFile, HttpUrl, Required, Unreadable};
use crate::peer_text::escaped;
use crate::probe::{Connector, NetworkProber};
use crate::target::TlsSettings;
use crate::tasks;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Configuration of blackbox_exporter
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    blackbox: PathBuf,
    /// Configuration of Prometheus, for the targets
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    prometheus: Option<PathBuf>,
    /// URL of a running blackbox_exporter to compare with
    #[arg(long, value_name = "URL", requires = "prometheus", value_hint = ValueHint::Url)]
    compare: Option<HttpUrl>,
}

/// Prints the converted configuration, or the differences; then the exit status is 1 if there is one.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let blackbox = ForeignFile::load(&arguments.blackbox, "--blackbox")?;
    let prometheus = arguments.prometheus.as_deref();
    let prometheus = prometheus.map(|path| ForeignFile::load(path, "--prometheus")).transpose()?;
    if let Some(url) = &arguments.compare {
        return print_differences(import(&blackbox, prometheus.as_ref(), TargetFiles::Listed)?, url);
    }
    let imported = import(&blackbox, prometheus.as_ref(), TargetFiles::Discovered)?;
    print(&imported.text)?;
    print_notes(&imported, prometheus.is_some());
    Ok(ExitCode::SUCCESS)
}

fn print_notes(imported: &Imported, has_jobs: bool) {
    match imported.omitted {
        0 => {}
        1 => print_error("portprobe: 1 setting has no equivalent; search for `# not imported`"),
        several => {
            print_error(&format!("portprobe: {several} settings have no equivalent; search for `# not imported`"));
        }
    }
    if imported.problems > 0 {
        print_error("portprobe: the result has problems; run portprobe check");
    }
    match (imported.sources, has_jobs) {
        (0, false) => print_error("portprobe: no targets; set --prometheus, or add them under `targets`"),
        (0, true) => {
            print_error(
                "portprobe: no job of Prometheus probes a target that can be imported; add targets under `targets`",
            );
        }
        _ => {}
    }
}

fn print_differences(imported: Imported, url: &HttpUrl) -> anyhow::Result<ExitCode> {
    let files = LoadedFiles::default();
    let mut lines = Vec::new();
    let is_compared = !imported.pairs.is_empty();
    if is_compared {
        let draft = config::parse(imported.text, Path::new("portprobe.yaml"), &environment)?;
        let config = files.finish(draft)?;
        let runtime = tasks::runtime()?;
        lines = runtime.block_on(differences(config, imported.pairs, url, files))?;
    }
    for missing in imported.missing {
        let program = if missing.is_of_portprobe { "portprobe" } else { "blackbox_exporter" };
        lines.push(only_in(program, &missing.target, &missing.module, &missing.reason));
    }
    print(&lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>())?;
    anyhow::ensure!(is_compared, "no target to compare; check that jobs of --prometheus probe with a path `/probe`");
    Ok(if lines.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The line for a target that only one program probes.
fn only_in(program: &str, target: &str, module: &str, reason: &str) -> String {
    let module = if module.is_empty() { String::new() } else { format!(" (module {})", escaped(module)) };
    format!("{}{module}: only in {program}: {}", concealed(target), escaped(reason))
}

async fn differences(
    config: Config,
    pairs: Vec<ProbePair>,
    url: &HttpUrl,
    files: LoadedFiles,
) -> anyhow::Result<Vec<String>> {
    let tls = TlsSettings::default();
    files
        .read(&Required::Tls(tls.profile.clone()))
        .map_err(|error| anyhow::anyhow!(Unreadable::into_message(error)))?;
    let connector = Connector::new(config.dns, files.tls_store.clone());
    let exporter = Arc::new(Exporter::new(url.clone(), tls, connector));
    let prober = Arc::new(NetworkProber::new(config.dns, files.tls_store, files.header_values));
    let by_name: HashMap<_, _> = config.targets.iter().map(|target| (target.name.as_str(), target)).collect();
    let mut targets = Vec::new();
    let mut lines = Vec::new();
    for pair in pairs {
        match by_name.get(&*pair.name) {
            Some(target) => targets.push((pair, Arc::clone(target))),
            None => lines.push(only_in(
                "blackbox_exporter",
                &pair.target,
                &pair.module,
                "portprobe has no target of this name",
            )),
        }
    }
    let found = compare(exporter, prober, targets)
        .await
        .with_context(|| format!("cannot compare with {url}"))?;
    lines.extend(found.iter().map(ToString::to_string));
    Ok(lines)
}
