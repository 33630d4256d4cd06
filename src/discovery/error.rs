//! Errors of discovery sources.

use std::error::Error;
use std::io;
use std::iter::successors;
use std::time::Duration;

use super::http::MEDIA_TYPE;
use crate::config::EntriesError;
use crate::files::ReadError;
use crate::files::header_values::HeaderValueError;
use crate::files::reads::Hanging;
use crate::probe::ConnectorError;

/// Reason why a source, or one of its files, was not refreshed. If it is about a file, its text follows the file's
/// name.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The body of the response has more bytes than allowed.
    #[error("response is larger than {0} bytes")]
    BodyTooLarge(u64),
    /// The peer ended the body too early.
    #[error("response is incomplete: {}", with_causes(.0))]
    BrokenBody(hyper::Error),
    /// A name was not resolved, a connection was not made, or the TLS handshake failed.
    #[error(transparent)]
    Connection(#[from] ConnectorError),
    /// The response has a content encoding.
    #[error("response has the content encoding {0}, which was not requested")]
    ContentEncoding(String),
    /// The response has another media type.
    #[error("response has the Content-Type {0}; must be {MEDIA_TYPE}")]
    ContentType(String),
    /// A file is not read because the files before it take up the limit.
    #[error("is skipped: with the files before it, it exceeds {0} MiB")]
    FilesTooLarge(u64),
    /// A folder cannot be listed.
    #[error("cannot list the directory {0}: {1}")]
    Folder(String, io::Error),
    /// Files were not read in time.
    #[error("a file {0}")]
    Hanging(#[from] Hanging),
    /// The file that holds the value of a header cannot be used.
    #[error("the file {file} of the header {header} {reason}")]
    HeaderFile {
        /// The name of the header.
        header: String,
        /// The path of the file.
        file: String,
        /// The reason, without the content of the file.
        reason: HeaderValueError,
    },
    /// A setting cannot be part of a request.
    #[error("invalid request: {0}")]
    InvalidRequest(#[from] http::Error),
    /// The text of a file is not a list of targets.
    #[error("cannot be used: {0}")]
    InvalidFile(EntriesError),
    /// The body of the response is not a list of targets.
    #[error("response cannot be used: {0}")]
    InvalidBody(EntriesError),
    /// The response has no media type.
    #[error("response has no Content-Type; must be {MEDIA_TYPE}")]
    NoContentType,
    /// A pattern has no file name.
    #[error("{0} has no file name")]
    NoFileName(String),
    /// The pattern of file names is not valid.
    #[error("{0} is not a valid pattern: {1}")]
    Pattern(String, glob::PatternError),
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The response is a redirect; to this host, if it names one.
    #[error("responded with {0}{1}; redirects are not followed")]
    Redirect(http::StatusCode, String),
    /// The request failed.
    #[error("request failed: {}", with_causes(.0))]
    Request(hyper::Error),
    /// The response has another status than 200.
    #[error("responded with {0}")]
    Status(http::StatusCode),
    /// The response was not complete in time.
    #[error("no complete response within {0:?}")]
    Timeout(Duration),
    /// The text of a file is not UTF-8.
    #[error("is not valid UTF-8")]
    Utf8,
    /// The body of the response is not UTF-8.
    #[error("response is not valid UTF-8")]
    Utf8Body,
}

impl RefreshError {
    /// Returns whether the error can result from a process that asks or listens too late.
    pub(super) fn depends_on_time(&self) -> bool {
        match self {
            Self::BrokenBody(_) | Self::Hanging(_) | Self::Request(_) | Self::Timeout(_) => true,
            Self::Connection(error) => error.depends_on_time(),
            Self::BodyTooLarge(_)
            | Self::ContentEncoding(_)
            | Self::ContentType(_)
            | Self::FilesTooLarge(_)
            | Self::Folder(..)
            | Self::HeaderFile { .. }
            | Self::InvalidBody(_)
            | Self::InvalidFile(_)
            | Self::InvalidRequest(_)
            | Self::NoContentType
            | Self::NoFileName(_)
            | Self::Pattern(..)
            | Self::Read(_)
            | Self::Redirect(..)
            | Self::Status(_)
            | Self::Utf8
            | Self::Utf8Body => false,
        }
    }
}

/// An error with all its causes.
fn with_causes(error: &hyper::Error) -> String {
    let first: &dyn Error = error;
    successors(Some(first), |error| (*error).source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
