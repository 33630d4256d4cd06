//! `portprobe targets`: the targets of a running daemon as a table, read from its API.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use hyper::{StatusCode, Uri};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::client::{Client, LoginArguments, Trust};
use super::flags::DaemonArguments;
use super::{UsageError, print, printed};
use crate::http::{Endpoint, ExternalUrl, ListenAddress};
use crate::inventory::{Page, SortKey};
use crate::peer_text::escaped;
use crate::tasks;

/// The flags of `portprobe targets`.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// URL of the daemon; default: the first address in `PORTPROBE_WEB_LISTEN_ADDRESS`, or port 10115 of this machine,
    /// with the path of `PORTPROBE_WEB_EXTERNAL_URL`
    url: Option<Uri>,
    /// Only targets in this state; repeatable
    #[arg(long, value_name = "STATE", value_parser = ["down", "unknown", "up"])]
    state: Vec<String>,
    /// Only targets with this label; repeatable, all must match
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// Only members of this group
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Only this protocol
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<String>,
    /// Only targets whose name, URL or label values contain this text
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Order; with `-` before it descending
    #[arg(long, value_name = "KEY", default_value = SortKey::State.as_str(), allow_hyphen_values = true)]
    sort: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    login: LoginArguments,
}

/// Prints the targets of a daemon with these settings.
pub(super) fn run(arguments: &Arguments, daemon: &DaemonArguments) -> anyhow::Result<ExitCode> {
    let base = arguments.base(daemon);
    if !base.contains("://") {
        return Err(UsageError(format!(
            "`{}` has no scheme; must be a URL like http://localhost:10115",
            escaped(&base)
        ))
        .into());
    }
    let trust = arguments
        .login
        .tls_ca_file
        .as_deref()
        .map_or(Ok(Trust::Mozilla), Trust::in_file)?;
    let client = Client { trust: &trust, authorization: arguments.login.authorization()? };
    let runtime = tasks::runtime()?;
    let targets = runtime.block_on(all(&client, &base, &arguments.query()))?;
    if arguments.json {
        return printed(&serde_json::to_string_pretty(&json!({ "targets": targets }))?);
    }
    print(&table(&targets))?;
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    /// Returns the URL of the daemon without the slash at its end.
    fn base(&self, daemon: &DaemonArguments) -> String {
        let url = self.url.as_ref().map(Uri::to_string);
        let base = url.unwrap_or_else(|| {
            let address = daemon.listen.first().map(ListenAddress::from_here).unwrap_or_default();
            let prefix = daemon.web_external_url.as_ref().map(ExternalUrl::prefix).unwrap_or_default();
            format!("http://{address}{prefix}")
        });
        base.trim_end_matches('/').to_owned()
    }

    /// Returns the parameters of the API.
    fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let repeated = |name| move |value: &String| (name, value.clone());
        query.extend_pairs(self.state.iter().map(repeated("state")));
        query.extend_pairs(self.label.iter().map(repeated("label")));
        for (name, value) in [("group", &self.group), ("protocol", &self.protocol), ("text", &self.text)] {
            query.extend_pairs(value.as_ref().map(|value| (name, value)));
        }
        query.append_pair("sort", &self.sort);
        query.append_pair("limit", &Page::MAX_LIMIT.to_string());
        query.finish()
    }
}

/// Requests all targets, page by page.
async fn all(client: &Client<'_>, base: &str, query: &str) -> anyhow::Result<Vec<Value>> {
    let mut targets = Vec::new();
    loop {
        let url = format!("{base}{}?{query}&offset={}", Endpoint::Targets.path(), targets.len());
        let url: Uri = url.parse().map_err(|_| UsageError(format!("`{base}` is not a valid URL")))?;
        let page = page(client, &url)
            .await
            .with_context(|| format!("cannot read the targets of {base}"))?;
        let Some(Value::Array(items)) = page.get("targets") else { bail!("{base} is not a portprobe") };
        targets.extend(items.iter().cloned());
        // Targets may be added or removed meanwhile.
        let total = page.get("total").and_then(Value::as_u64).unwrap_or_default();
        if items.is_empty() || u64::try_from(targets.len()).is_ok_and(|read| read >= total) {
            return Ok(targets);
        }
    }
}

async fn page(client: &Client<'_>, url: &Uri) -> anyhow::Result<Value> {
    let response = timeout(PATIENCE, client.get(url))
        .await
        .with_context(|| format!("no response within {} s", PATIENCE.as_secs()))??;
    let body = serde_json::from_slice::<Value>(response.body());
    match (response.status(), body) {
        (StatusCode::OK, Ok(page)) => Ok(page),
        (StatusCode::BAD_REQUEST, Ok(problem)) => {
            let error = problem
                .get("error")
                .and_then(Value::as_str)
                .unwrap_or("the request is not valid");
            Err(UsageError(error.to_owned()).into())
        }
        (StatusCode::UNAUTHORIZED, _) => bail!("a password is required; set --user and --password-file"),
        (StatusCode::OK, Err(_)) => bail!("the response is not JSON"),
        (status, _) => bail!("the response is {status}"),
    }
}

/// Returns a line for each target: state, since when, name, reason.
fn table(targets: &[Value]) -> String {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(escaped);
    let rows: Vec<[String; 4]> = targets
        .iter()
        .map(|target| {
            let failure = target.get("failure").filter(|failure| !failure.is_null());
            let reason = failure.map(|failure| {
                let part = |key| text(failure.get(key)).unwrap_or_default();
                format!("{} in {}", part("class"), part("phase"))
            });
            let since = text(target.get("since")).map(|since| since.replace('T', " ").chars().take(SECONDS).collect());
            [
                text(target.get("state")).unwrap_or_default(),
                since.unwrap_or_else(|| "-".to_owned()),
                text(target.get("name")).unwrap_or_default(),
                reason.unwrap_or_default(),
            ]
        })
        .collect();
    let header = ["STATE", "SINCE (UTC)", "NAME", "REASON"].map(str::to_owned);
    let widths = [0, 1, 2].map(|column: usize| {
        let cells = std::iter::once(&header).chain(&rows).filter_map(|row| row.get(column));
        let longest = cells.map(|cell| cell.chars().count()).max().unwrap_or_default();
        // A long name moves only its own reason.
        longest.min(MAX_WIDTH)
    });
    let mut table = String::new();
    for [state, since, name, reason] in std::iter::once(&header).chain(&rows) {
        let [first, second, third] = widths;
        let line = format!("{state:first$}  {since:second$}  {name:third$}  {reason}");
        // Writing to a string does not fail.
        let _ = writeln!(table, "{}", line.trim_end());
    }
    table
}

const PATIENCE: Duration = Duration::from_secs(30);

const MAX_WIDTH: usize = 60;

/// The length of a moment without its milliseconds.
const SECONDS: usize = "2026-11-30 19:00:00".len();
