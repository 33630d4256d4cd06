//! A simple HTTP client: one request, one connection, unchanged responses.

use std::fmt::Write as _;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A response, with header names in lower case.
#[derive(Debug)]
pub(crate) struct Response<B = String> {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: B,
}

impl<B> Response<B> {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Sends a request without a body and reads to the end of the connection. HTTP/1.0, so that nothing is chunked.
pub(crate) async fn request(address: SocketAddr, method: &str, path: &str) -> Response {
    request_with(address, method, path, &[]).await
}

/// As [`request`], with more headers.
pub(crate) async fn request_with(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let Response { status, headers, body } = request_bytes(address, method, path, headers).await;
    Response { status, headers, body: String::from_utf8(body).unwrap() }
}

/// As [`request_with`], with a body of bytes.
pub(crate) async fn request_bytes(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Response<Vec<u8>> {
    let headers: String = headers.iter().flat_map(|(name, value)| [*name, ": ", *value, "\r\n"]).collect();
    let head = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\n{headers}\r\n");
    parse(&exchange(address, head.as_bytes()).await)
}

/// Sends these bytes and reads to the end of the connection.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may have closed the connection before it has read everything. Its response counts all the same.
    let _ = stream.write_all(bytes).await;
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response).await;
    response
}

/// A text encoded as a part of a URL.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        write!(encoded, "%{byte:02x}").unwrap();
        encoded
    })
}

/// Reads a response.
pub(crate) fn parse(response: &[u8]) -> Response<Vec<u8>> {
    let end = response.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = std::str::from_utf8(&response[..end]).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let header = |line: &str| {
        line.split_once(": ")
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
    };
    Response { status, headers: lines.filter_map(header).collect(), body: response[end + 4..].to_vec() }
}
