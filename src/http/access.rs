//! Access to this server: the rate limit, passwords and client certificates of the web configuration.

use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Request, Response, StatusCode};

use self::passwords::{Credentials, Passwords, Verdict};
use self::rate_limiter::RateLimiter;
use super::body::{Body, plain};
use super::client_stream::ClientStream;
use super::web_config::{WebConfig, WebConfigFile};

mod passwords;
mod rate_limiter;

/// Decides on requests by the web configuration.
#[derive(Debug, Default)]
pub(super) struct Access {
    file: Arc<WebConfigFile>,
    passwords: Passwords,
    limiter: RateLimiter,
}

/// The client of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub(super) address: IpAddr,
    pub(super) certificate: ClientCertificate,
}

/// Whether a client has sent a certificate, which was verified as configured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ClientCertificate {
    None,
    Sent,
}

impl Access {
    pub(super) fn new(file: Arc<WebConfigFile>) -> Self {
        Self { file, ..Self::default() }
    }

    /// Returns the web configuration in use.
    pub(super) fn config(&self) -> Arc<WebConfig> {
        self.file.current()
    }

    /// Returns the response to a request that is refused; `None` if it may be answered.
    pub(super) async fn refusal(
        &self,
        request: &Request<Incoming>,
        client: Client,
        config: &WebConfig,
    ) -> Option<Response<Body>> {
        let settings = config.settings();
        if settings.rate_limit.is_some_and(|limit| !self.limiter.allows(limit)) {
            return Some(busy("Too many requests.\n"));
        }
        if settings.excluded_paths.contains(request.uri().path()) {
            return None;
        }
        let needs_certificate = settings.tls.as_ref().is_some_and(|tls| tls.client_auth.is_required());
        if needs_certificate && client.certificate == ClientCertificate::None {
            return Some(plain(StatusCode::UNAUTHORIZED, "A client certificate is required.\n"));
        }
        if !settings.needs_password(request.uri().path()) {
            return None;
        }
        let credentials = request.headers().get(AUTHORIZATION).and_then(Credentials::read);
        let verdict = match credentials {
            Some(credentials) => {
                let gone = disconnected(request);
                self.passwords.check(&settings.users, credentials, client.address, gone).await
            }
            None => Verdict::Denied,
        };
        match verdict {
            Verdict::Granted => None,
            Verdict::Denied => Some(unauthorized()),
            Verdict::Busy => Some(busy("Too many passwords are being checked.\n")),
        }
    }
}

/// Waits until the client of a request closes its connection.
async fn disconnected(request: &Request<Incoming>) {
    match request.extensions().get::<ClientStream>() {
        Some(stream) => stream.closed().await,
        None => pending().await,
    }
}

fn unauthorized() -> Response<Body> {
    let mut response = plain(StatusCode::UNAUTHORIZED, "Unauthorized\n");
    response
        .headers_mut()
        .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
    response
}

fn busy(text: &'static str) -> Response<Body> {
    let mut response = plain(StatusCode::TOO_MANY_REQUESTS, text);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
