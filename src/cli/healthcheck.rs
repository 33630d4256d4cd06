//! `portprobe healthcheck`: requests the health of a running daemon, for containers without a shell.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::tasks;

/// Requests the URL; the exit status is 0 if the response is 200 within five seconds.
pub(super) fn run(url: &Uri) -> anyhow::Result<ExitCode> {
    let runtime = tasks::runtime()?;
    let status = runtime
        .block_on(async { timeout(PATIENCE, request(url)).await })
        .with_context(|| format!("{url} did not respond within {} s", PATIENCE.as_secs()))?
        .with_context(|| format!("cannot request {url}"))?;
    if status != StatusCode::OK {
        bail!("{url} responded with {status}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn request(url: &Uri) -> anyhow::Result<StatusCode> {
    if url.scheme_str() != Some("http") {
        bail!("unsupported scheme; must be http://");
    }
    let authority = url.authority().context("the URL has no host")?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, authority.as_str())
        .body(Empty::<Bytes>::new())?;
    tokio::select! {
        response = sender.send_request(request) => Ok(response?.status()),
        ended = connection => {
            ended?;
            bail!("the connection was closed without a response")
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(5);
