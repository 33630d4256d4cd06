//! A simple HTTP client: one request, one connection, unchanged responses.

use std::fmt::Write as _;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A response, with header names in lower case.
#[derive(Debug)]
pub(crate) struct Answer<B = String> {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: B,
}

impl<B> Answer<B> {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Sends a request without a body and reads to the end of the connection. HTTP/1.0, so that nothing is chunked.
pub(crate) async fn request(address: SocketAddr, method: &str, path: &str) -> Answer {
    request_with(address, method, path, &[]).await
}

/// As [`request`], with more headers.
pub(crate) async fn request_with(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let Answer { status, headers, body } = request_bytes(address, method, path, headers).await;
    Answer { status, headers, body: String::from_utf8(body).unwrap() }
}

/// As [`request_with`], with a body of bytes.
pub(crate) async fn request_bytes(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Answer<Vec<u8>> {
    let headers: String = headers.iter().flat_map(|(name, value)| [*name, ": ", *value, "\r\n"]).collect();
    let head = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\n{headers}\r\n");
    parse(&exchange(address, head.as_bytes()).await)
}

/// Sends these bytes and reads to the end of the connection.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may have closed the connection before it has read everything. Its response counts all the same.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

/// A text encoded as a part of a URL.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        write!(encoded, "%{byte:02x}").unwrap();
        encoded
    })
}

fn parse(answer: &[u8]) -> Answer<Vec<u8>> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = std::str::from_utf8(&answer[..end]).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let header = |line: &str| {
        line.split_once(": ")
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
    };
    Answer { status, headers: lines.filter_map(header).collect(), body: answer[end + 4..].to_vec() }
}
