//! The servers behind the targets in `tests/migration`, on an address of loopback that no other process uses.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::pki::{self, Authority, Identity};

/// Running servers, and a folder with the files that name them.
pub(super) struct Servers {
    pub(super) host: String,
    pub(super) folder: TempDir,
}

impl Servers {
    pub(super) async fn start() -> Self {
        let host = unused_host();
        let root = Authority::root("root");
        let good = root.issue(pki::leaf(&[&host]));
        let expired = root.issue(pki::leaf(&[&host]).days(-90..-1));
        let misnamed = root.issue(pki::leaf(&["other.example.com"]));
        for port in 2201..=2203 {
            listen(&host, port, async |stream| read_all(stream).await).await;
        }
        for (port, identity) in [(2301, &good), (2302, &expired), (2303, &misnamed)] {
            let acceptor = acceptor(identity);
            listen(&host, port, move |stream| {
                let acceptor = acceptor.clone();
                async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        read_all(stream).await;
                    }
                }
            })
            .await;
        }
        listen(&host, 2304, async |mut stream: TcpStream| {
            let _ = stream.write_all(b"220 no TLS here\r\n").await;
            read_all(stream).await;
        })
        .await;
        listen(&host, 2305, async |mut stream: TcpStream| {
            let _ = stream.write_all(TEXT).await;
            read_all(stream).await;
        })
        .await;
        listen(&host, 2401, async |stream| respond(stream).await).await;
        let https = acceptor(&good);
        listen(&host, 2402, move |stream| {
            let https = https.clone();
            async move {
                if let Ok(stream) = https.accept(stream).await {
                    respond(stream).await;
                }
            }
        })
        .await;
        for (port, talk) in [(2501, smtp as Talk), (2502, imap), (2503, irc)] {
            let acceptor = acceptor(&good);
            listen(&host, port, move |stream| talk_with(stream, talk, acceptor.clone())).await;
        }
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/migration");
        copy(&source, folder.path(), &host);
        fs::write(folder.path().join("ca.pem"), root.pem()).unwrap();
        Self { host, folder }
    }

    /// The files of the folder, in another one.
    pub(super) fn copy(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        copy(self.folder.path(), folder.path(), &self.host);
        folder
    }

    /// The module and the target that blackbox_exporter probes for a target of portprobe.
    pub(super) fn probed(&self, name: &str) -> (&'static str, String) {
        if let Some(address) = name.strip_suffix(" (blackbox_tls_any_certificate)") {
            return ("tls_any_certificate", address.to_owned());
        }
        let probed = name.strip_prefix("tcp://").unwrap_or(name);
        let place = probed.split_once(&*self.host).unwrap().1;
        let module = match place {
            place if place.starts_with(":22") => "tcp_connect",
            place if place.starts_with(":23") => "tls_connect",
            ":2401/login" => "http_login",
            place if place.starts_with(":2401/health") => "http_status_up",
            place if place.starts_with(":2401") => "http_2xx",
            ":2402/" => "https_private",
            ":2501" => "smtp_starttls",
            ":2502" => "imap_starttls",
            ":2503" => "irc_banner",
            other => panic!("{other}"),
        };
        (module, probed.to_owned())
    }
}

/// An address of 127.0.0.0/8 for this process and test.
fn unused_host() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    let (id, count) = (process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    format!("127.{}.{}.{}", 64 + (id >> 13 & 63), id >> 5 & 255, (id & 31) * 8 + count)
}

/// Copies text files, with this host in place of theirs.
fn copy(from: &Path, to: &Path, host: &str) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target, host);
        } else {
            let text = fs::read_to_string(entry.path()).unwrap();
            fs::write(target, text.replace("127.0.19.1", host)).unwrap();
        }
    }
}

fn acceptor(identity: &Identity) -> TlsAcceptor {
    TlsAcceptor::from(Arc::new(identity.server()))
}

/// Serves each connection to a port.
async fn listen<F>(host: &str, port: u16, serve: impl Fn(TcpStream) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let address = SocketAddr::new(host.parse().unwrap(), port);
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        }
    });
}

async fn read_all(stream: impl AsyncRead + Unpin) {
    let mut stream = stream;
    crate::support::peers::listen_to_the_end(&mut stream).await;
}

/// Responds to one HTTP request.
async fn respond(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        match stream.read_line(&mut head).await {
            Ok(1..) => {}
            _ => return,
        }
    }
    let (status, body) = match head.split(' ').nth(1).unwrap_or_default() {
        "/" => ("200 OK", ""),
        "/health" => ("200 OK", "{\"status\": \"up\"}"),
        "/health?bad" => ("200 OK", "{\"status\": \"down\"}"),
        "/text" => ("200 OK", str::from_utf8(TEXT).unwrap()),
        "/login" => ("401 Unauthorized", ""),
        "/moved" => ("301 Moved Permanently\r\nLocation: /", ""),
        _ => ("404 Not Found", ""),
    };
    let response = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    let _ = stream.get_mut().write_all(response.as_bytes()).await;
    let _ = stream.get_mut().shutdown().await;
}

/// A text of several lines, on which expressions are tried.
const TEXT: &[u8] = "220-first line one\r\n220-second: {\"status\":\"UP\"} a&&b\r\nTab\there  two  spaces\r\n\r\n\
                     Grüße [x] <tag>\r\n220 last x.y-z_1\r\n"
    .as_bytes();

/// A protocol of lines: the greeting for an empty line, otherwise the response.
type Talk = fn(&str) -> Response;

struct Response {
    text: String,
    starts_tls: bool,
}

fn said(text: impl Into<String>) -> Response {
    Response { text: text.into(), starts_tls: false }
}

fn smtp(line: &str) -> Response {
    match line.split(' ').next().unwrap_or_default() {
        "" => said("220 mx.example.com ESMTP ready\r\n"),
        "EHLO" => said("250-mx.example.com\r\n250-STARTTLS\r\n250 OK\r\n"),
        "STARTTLS" => Response { text: "220 go ahead\r\n".to_owned(), starts_tls: true },
        "QUIT" => said("221 bye\r\n"),
        _ => said("502 unknown\r\n"),
    }
}

fn imap(line: &str) -> Response {
    let (tag, command) = line.split_once(' ').unwrap_or((line, ""));
    match &*command.to_ascii_uppercase() {
        "" => said("* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n"),
        "CAPABILITY" => said(format!("* CAPABILITY IMAP4rev1 STARTTLS\r\n{tag} OK done\r\n")),
        "STARTTLS" => Response { text: format!("{tag} OK begin\r\n"), starts_tls: true },
        "LOGOUT" => said(format!("* BYE bye\r\n{tag} OK done\r\n")),
        _ => said(format!("{tag} BAD unknown\r\n")),
    }
}

fn irc(line: &str) -> Response {
    match line {
        line if line.starts_with("USER ") => said(":irc.example.com NOTICE * :hello\r\nPING :token7\r\n"),
        "PONG token7" => said(":irc.example.com 001 prober :welcome\r\n"),
        _ => said(""),
    }
}

async fn talk_with(stream: TcpStream, talk: Talk, acceptor: TlsAcceptor) {
    let mut plain = BufReader::new(stream);
    if plain.get_mut().write_all(talk("").text.as_bytes()).await.is_ok()
        && converse(&mut plain, talk).await
        && let Ok(secure) = acceptor.accept(plain.into_inner()).await
    {
        converse(&mut BufReader::new(secure), talk).await;
    }
}

/// Responds line by line; returns whether TLS follows.
async fn converse(stream: &mut BufReader<impl AsyncRead + AsyncWrite + Unpin>, talk: Talk) -> bool {
    let mut line = String::new();
    while let Ok(1..) = stream.read_line(&mut line).await {
        let response = talk(line.trim_end());
        line.clear();
        if stream.get_mut().write_all(response.text.as_bytes()).await.is_err() {
            return false;
        }
        let _ = stream.get_mut().flush().await;
        if response.starts_tls {
            return true;
        }
    }
    false
}
