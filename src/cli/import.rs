//! `portprobe import`: converts the configuration of blackbox_exporter, or compares its results with those of portprobe.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, ValueHint};
use hyper::header::HeaderValue;

use super::client::LoginArguments;
use super::{UsageError, print, print_error};
use crate::app::LoadedFiles;
use crate::app::process::environment;
use crate::blackbox::compare::{compare, concealed};
use crate::blackbox::exporter::Exporter;
use crate::blackbox::import::{Imported, ProbePair, TargetFiles, import};
use crate::config::{self, Config, ForeignFile, HttpUrl, Required, Unreadable};
use crate::options::ResolverOptions;
use crate::peer_text::escaped;
use crate::probe::{Connector, NetworkProber};
use crate::target::{Roots, Target, TlsProfile, TlsSettings};
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
    #[command(flatten)]
    login: LoginArguments,
}

/// Prints the converted configuration, or the differences; then the exit status is 1 if there is one.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.compare.is_none() && !arguments.login.is_empty() {
        return Err(UsageError("--user, --password-file and --tls.ca-file require --compare".to_owned()).into());
    }
    let blackbox = ForeignFile::load(&arguments.blackbox, "--blackbox")?;
    let prometheus = arguments.prometheus.as_deref();
    let prometheus = prometheus.map(|path| ForeignFile::load(path, "--prometheus")).transpose()?;
    if let Some(url) = &arguments.compare {
        return print_differences(import(&blackbox, prometheus.as_ref(), TargetFiles::Listed)?, url, &arguments.login);
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

fn print_differences(imported: Imported, url: &HttpUrl, login: &LoginArguments) -> anyhow::Result<ExitCode> {
    let mut tls = TlsSettings::default();
    if let Some(file) = &login.tls_ca_file {
        tls.profile = Arc::new(TlsProfile { roots: Roots::File(file.clone()), ..TlsProfile::default() });
    }
    let comparison = Comparison { url, tls, authorization: login.authorization()?, files: LoadedFiles::default() };
    let runtime = tasks::runtime()?;
    let is_compared = !imported.pairs.is_empty();
    let mut lines = if is_compared {
        let draft = config::parse(imported.text, Path::new("portprobe.yaml"), &environment)?;
        let config = comparison.files.finish(draft)?;
        runtime.block_on(comparison.differences(&config, imported.pairs))?
    } else {
        runtime.block_on(comparison.contact())?;
        Vec::new()
    };
    for missing in imported.missing {
        let program = if missing.is_of_portprobe { "portprobe" } else { "blackbox_exporter" };
        lines.push(only_in(program, &missing.target, &missing.module, &missing.reason));
    }
    print(&lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>())?;
    let is_empty = !is_compared && lines.is_empty();
    anyhow::ensure!(!is_empty, "no target to compare; check that jobs of --prometheus probe with a path `/probe`");
    Ok(if lines.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The line for a target that only one program probes.
fn only_in(program: &str, target: &str, module: &str, reason: &str) -> String {
    let module = if module.is_empty() { String::new() } else { format!(" (module {})", escaped(module)) };
    format!("{}{module}: only in {program}: {}", concealed(target), escaped(reason))
}

/// A comparison with a running blackbox_exporter.
struct Comparison<'a> {
    url: &'a HttpUrl,
    tls: TlsSettings,
    authorization: Option<HeaderValue>,
    files: LoadedFiles,
}

impl Comparison<'_> {
    /// The lines about targets with different results.
    async fn differences(&self, config: &Config, pairs: Vec<ProbePair>) -> anyhow::Result<Vec<String>> {
        let LoadedFiles { tls_store, header_values, .. } = &self.files;
        let prober = Arc::new(NetworkProber::new(config.dns, tls_store.clone(), header_values.clone()));
        let (targets, mut lines) = matched(&config.targets, pairs);
        let exporter = Arc::new(self.exporter(config.dns)?);
        let found = compare(exporter, prober, targets).await.with_context(|| self.failure())?;
        lines.extend(found.iter().map(ToString::to_string));
        Ok(lines)
    }

    /// Fails if there is no blackbox_exporter.
    async fn contact(&self) -> anyhow::Result<()> {
        let exporter = self.exporter(ResolverOptions::default())?;
        exporter.contact().await.with_context(|| self.failure())
    }

    fn exporter(&self, dns: ResolverOptions) -> anyhow::Result<Exporter> {
        self.files
            .read(&Required::Tls(self.tls.profile.clone()))
            .map_err(|error| anyhow::anyhow!(Unreadable::into_message(error)))?;
        let (url, tls, authorization) = (self.url.clone(), self.tls.clone(), self.authorization.clone());
        Ok(Exporter { url, tls, authorization, connector: Connector::new(dns, self.files.tls_store.clone()) })
    }

    fn failure(&self) -> String {
        format!("cannot compare with {}", self.url)
    }
}

/// The targets of the pairs, and lines about pairs without a target.
fn matched(targets: &[Arc<Target>], pairs: Vec<ProbePair>) -> (Vec<(ProbePair, Arc<Target>)>, Vec<String>) {
    let by_name: HashMap<_, _> = targets.iter().map(|target| (target.name.as_str(), target)).collect();
    let (mut matched, mut lines) = (Vec::new(), Vec::new());
    for pair in pairs {
        if let Some(target) = by_name.get(&*pair.name) {
            matched.push((pair, Arc::clone(target)));
        } else {
            let reason = "portprobe has no target of this name";
            lines.push(only_in("blackbox_exporter", &pair.target, &pair.module, reason));
        }
    }
    (matched, lines)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_pair_without_a_target_is_a_difference() {
        let text = "targets: [{ url: 'tcp://a:1', name: 'a:1' }]".to_owned();
        let config = config::parse(text, Path::new("p.yaml"), &|_| None)
            .unwrap()
            .finish(&[])
            .unwrap();
        let pair = |name: &str| ProbePair {
            name: name.to_owned(),
            target: name.to_owned(),
            module: "m".to_owned(),
            hostname: None,
            scrape_timeout: Duration::from_secs(1),
        };
        let (targets, lines) = matched(&config.targets, vec![pair("b:1"), pair("a:1")]);
        let names: Vec<_> = targets.iter().map(|(pair, _)| &*pair.name).collect();
        assert_eq!(names, ["a:1"]);
        assert_eq!(lines, ["b:1 (module m): only in blackbox_exporter: portprobe has no target of this name"]);
    }
}
