//! `portprobe healthcheck`: requests the health of a running daemon, for containers without a shell.
//!
//! A daemon that refuses the request because it has no password or certificate is alive, too.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use hyper::{StatusCode, Uri};
use tokio::time::timeout;

use super::client::{Client, Trust, is_certificate_required, is_unknown_issuer};
use super::flags::{DaemonArguments, WEB_CONFIG_FILE_VARIABLE};
use crate::config::web;
use crate::http::{ExternalUrl, ListenAddress};
use crate::tasks;

/// The flags of `portprobe healthcheck`.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// URL of its health endpoint; default: /-/healthy at the first address in `PORTPROBE_WEB_LISTEN_ADDRESS`, or at port
    /// 10115 of this machine, below the path of `PORTPROBE_WEB_EXTERNAL_URL`
    url: Option<Uri>,
    /// Web configuration file of the daemon: with TLS in it, the default URL is https://
    ///
    /// The certificate of the daemon is then not verified, because the request has no secret.
    #[arg(long = "web.config.file", value_name = "FILE", env = WEB_CONFIG_FILE_VARIABLE)]
    web_config_file: Option<PathBuf>,
    /// PEM file with the roots to verify the certificate of the daemon with
    #[arg(long = "tls.ca-file", value_name = "FILE")]
    tls_ca_file: Option<PathBuf>,
}

/// Requests the health of a daemon with these settings; the exit status is 0 if it is alive within five seconds.
pub(super) fn run(arguments: &Arguments, daemon: &DaemonArguments) -> anyhow::Result<ExitCode> {
    let urls = arguments.urls(daemon)?;
    let trust = match (&arguments.tls_ca_file, &arguments.web_config_file) {
        (Some(file), _) => Trust::in_file(file)?,
        (None, Some(_)) => Trust::Anything,
        (None, None) => Trust::Mozilla,
    };
    let runtime = tasks::runtime()?;
    let checked = runtime.block_on(any_alive(&urls, &trust));
    checked.map_err(|error| arguments.explained(error))?;
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    /// Returns the URLs to try in turn.
    fn urls(&self, daemon: &DaemonArguments) -> anyhow::Result<Vec<Uri>> {
        if let Some(url) = &self.url {
            if url.scheme().is_none() {
                bail!(
                    "`{url}` is not a URL; must begin with http:// or https://, like http://127.0.0.1:10115/-/healthy"
                );
            }
            return Ok(vec![url.clone()]);
        }
        let address = daemon.listen.first().map(ListenAddress::from_here).unwrap_or_default();
        let prefix = daemon.web_external_url.as_ref().map(ExternalUrl::prefix).unwrap_or_default();
        let url = |scheme: &str| {
            format!("{scheme}://{address}{prefix}/-/healthy")
                .parse()
                .with_context(|| format!("`{address}` is not a valid host and port of a URL"))
        };
        schemes(self.web_config_file.as_deref())
            .iter()
            .map(|scheme| url(scheme))
            .collect()
    }
}

impl Arguments {
    /// Adds the advice that flags give to an error.
    fn explained(&self, error: anyhow::Error) -> anyhow::Error {
        if let Some(Err(unreadable)) = self.web_config_file.as_deref().map(web::load) {
            return anyhow!("{error:#}; cannot use --web.config.file: {unreadable}");
        }
        if is_unknown_issuer(&error) {
            let advice = "--tls.ca-file sets the roots to trust, --web.config.file accepts any certificate";
            return anyhow!("{error:#}; {advice}");
        }
        error
    }
}

/// Returns the schemes to try. A file that was edited just now may differ from what the daemon uses, and may be invalid.
fn schemes(web_config_file: Option<&Path>) -> &'static [&'static str] {
    let Some(file) = web_config_file else { return &["http"] };
    let settings = web::load(file).and_then(|draft| draft.finish(&[], &[]));
    if settings.is_ok_and(|(settings, _)| settings.tls.is_none()) { &["http", "https"] } else { &["https", "http"] }
}

/// Returns an error, that of the first URL, if the daemon is alive at none.
async fn any_alive(urls: &[Uri], trust: &Trust) -> anyhow::Result<()> {
    let mut first_error = None;
    for url in urls {
        match alive(url, trust).await {
            Ok(()) => return Ok(()),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    first_error.map_or(Ok(()), Err)
}

async fn alive(url: &Uri, trust: &Trust) -> anyhow::Result<()> {
    let client = Client { trust, authorization: None };
    let requested = timeout(PATIENCE, client.get(url))
        .await
        .with_context(|| format!("{url} did not respond within {} s", PATIENCE.as_secs()))?;
    let response = match requested {
        Err(error) if is_certificate_required(&error) => return Ok(()),
        requested => requested.with_context(|| format!("cannot request {url}"))?,
    };
    let status = response.status();
    if !matches!(status, StatusCode::OK | StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS) {
        // Of portprobe, a short line with advice; of another server perhaps a page.
        let body = String::from_utf8_lossy(response.body());
        let advice = body
            .lines()
            .next()
            .filter(|line| !line.starts_with('<') && line.len() <= MAX_ADVICE);
        bail!(
            "{url} responded with {status}{}",
            advice.map(|line| format!(": {}", line.escape_debug())).unwrap_or_default()
        );
    }
    Ok(())
}

/// Maximum length of a line in an error.
const MAX_ADVICE: usize = 200;

const PATIENCE: Duration = Duration::from_secs(5);
