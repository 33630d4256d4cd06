//! Responses to the requests of HTTP and gRPC, reduced to what is reported.

/// A response.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// Of an HTTP server.
    Http(HttpResponse),
    /// Of a gRPC server.
    Grpc(GrpcResponse),
}

/// The head of an HTTP response.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// The version, such as 1.1.
    pub version: f64,
    /// The length that the server announced for the body.
    pub content_length: Option<u64>,
    /// When the content was last modified, in seconds since 1970.
    pub last_modified: Option<i64>,
    /// Whether the status is one of those expected.
    pub is_expected_status: bool,
}

/// The result of a call to the health service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GrpcResponse {
    /// The status code of the call.
    pub status: u32,
    /// The status of the service, as numbered by the health service; `None` without one.
    pub serving: Option<u8>,
}
