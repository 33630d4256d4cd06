//! A client for the HTTP server of a running daemon.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use data_encoding::BASE64;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::http::uri::Authority;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::UsageError;
use crate::files;

pub(super) use self::tls::{Trust, is_certificate_required, is_unknown_issuer};

mod tls;

/// The flags of a command that requests a server with passwords.
#[derive(Args, Debug)]
pub(super) struct LoginArguments {
    /// User of the server's web configuration
    #[arg(long, value_name = "NAME", requires = "password_file")]
    user: Option<String>,
    /// File with the password of the user
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// PEM file with the roots to verify the certificate of the server with
    #[arg(long = "tls.ca-file", value_name = "FILE")]
    pub(super) tls_ca_file: Option<PathBuf>,
}

impl LoginArguments {
    /// Whether none of the flags is set.
    pub(super) const fn is_empty(&self) -> bool {
        self.user.is_none() && self.password_file.is_none() && self.tls_ca_file.is_none()
    }

    /// Reads the password; `None` without a user.
    pub(super) fn authorization(&self) -> anyhow::Result<Option<HeaderValue>> {
        let (Some(user), Some(file)) = (&self.user, &self.password_file) else { return Ok(None) };
        let password = files::read(file, MAX_PASSWORD).with_context(|| format!("cannot read {}", file.display()))?;
        let password = String::from_utf8(password).map_err(|_| UsageError("the password is not UTF-8".to_owned()))?;
        let encoded = BASE64.encode(format!("{user}:{}", password.trim_end_matches(['\r', '\n'])).as_bytes());
        let mut value = HeaderValue::try_from(format!("Basic {encoded}"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// Requests URLs, each on a separate connection.
#[derive(Debug)]
pub(super) struct Client<'a> {
    pub(super) trust: &'a Trust,
    /// The user and password.
    pub(super) authorization: Option<HeaderValue>,
}

impl Client<'_> {
    /// Requests a URL.
    pub(super) async fn get(&self, url: &Uri) -> anyhow::Result<Response<Bytes>> {
        let authority = url.authority().context("the URL has no host")?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let connect = async |port| TcpStream::connect((host, authority.port_u16().unwrap_or(port))).await;
        match url.scheme_str() {
            Some("http") => self.exchange(connect(80).await?, url).await,
            Some("https") => self.exchange(self.trust.handshake(host, connect(443).await?).await?, url).await,
            _ => bail!("unsupported scheme; must be http:// or https://"),
        }
    }

    /// Requests the URL on a connection.
    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        url: &Uri,
    ) -> anyhow::Result<Response<Bytes>> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let host = url.authority().map(Authority::as_str).unwrap_or_default();
        let mut request = Request::get(path).header(HOST, host).body(Empty::<Bytes>::new())?;
        request
            .headers_mut()
            .extend(self.authorization.clone().map(|value| (AUTHORIZATION, value)));
        // The connection ends with its sender.
        let response = async move {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = match Limited::new(body, MAX_BODY).collect().await {
                Ok(body) => body.to_bytes(),
                // A server that refuses a request may reset the connection before all of its text is read.
                Err(_) if !head.status.is_success() => Bytes::new(),
                Err(error) => bail!(error),
            };
            Ok(Response::from_parts(head, body))
        };
        let (response, ended) = tokio::join!(response, connection);
        if response.is_err() {
            ended?;
        }
        response
    }
}

/// Ten times as much as 10,000 targets need.
const MAX_BODY: usize = 64 << 20;

const MAX_PASSWORD: u64 = 4096;
