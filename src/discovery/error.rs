//! Errors of discovery sources.

use std::error::Error;
use std::io;
use std::iter::successors;
use std::time::Duration;

use super::http::MEDIA_TYPE;
use crate::config::EntriesError;
use crate::files::ReadError;
use crate::files::header_values::HeaderValueError;
use crate::probe::ConnectorError;

/// Reason why a source, or one of its files, was not refreshed. Its text follows the name of the source or file.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The body of the response has more bytes than allowed.
    #[error("answered more than {0} bytes")]
    BodyTooLarge(u64),
    /// The peer ended the body too early.
    #[error("broke off its answer: {}", with_causes(.0))]
    BrokenBody(hyper::Error),
    /// A name was not resolved, a connection was not made, or the TLS handshake failed.
    #[error(transparent)]
    Connection(#[from] ConnectorError),
    /// The response has a content encoding.
    #[error("answered in the encoding {0}, which was not asked for")]
    ContentEncoding(String),
    /// The response has another media type.
    #[error("answered {0}, not {MEDIA_TYPE}")]
    ContentType(String),
    /// A file is not read because the files before it take up the limit.
    #[error("is not looked at: the files before it already have most of {0} MiB")]
    FilesTooLarge(u64),
    /// A folder cannot be listed.
    #[error("the folder {0} cannot be listed: {1}")]
    Folder(String, io::Error),
    /// The file that holds the value of a header cannot be used.
    #[error("the file {file} of the header {header} {reason}")]
    HeaderFile {
        /// The name of the header.
        header: String,
        /// The path of the file.
        file: String,
        /// Why it cannot be used, without its content.
        reason: HeaderValueError,
    },
    /// A setting cannot be part of a request.
    #[error("cannot be asked: {0}")]
    InvalidRequest(#[from] http::Error),
    /// The text of a file is not a list of targets.
    #[error("cannot be used: {0}")]
    InvalidFile(EntriesError),
    /// The body of the response is not a list of targets.
    #[error("answered what cannot be used: {0}")]
    InvalidBody(EntriesError),
    /// The response has no media type.
    #[error("answered without a Content-Type; it must be {MEDIA_TYPE}")]
    NoContentType,
    /// A pattern has no file name.
    #[error("{0} names no file")]
    NoFileName(String),
    /// The pattern of file names is not valid.
    #[error("the pattern {0} cannot be used: {1}")]
    Pattern(String, glob::PatternError),
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The response is a redirect; to this host, if it names one.
    #[error("answered {0}{1}: redirects are not followed")]
    Redirect(http::StatusCode, String),
    /// The request failed.
    #[error("cannot be asked: {}", with_causes(.0))]
    Request(hyper::Error),
    /// The response has another status than 200.
    #[error("answered {0}")]
    Status(http::StatusCode),
    /// The response was not complete in time.
    #[error("did not answer to the end within {0:?}")]
    Timeout(Duration),
    /// The text of a file is not UTF-8.
    #[error("is not UTF-8")]
    Utf8,
    /// The body of the response is not UTF-8.
    #[error("answered what is not UTF-8")]
    Utf8Body,
}

/// An error with all its causes.
fn with_causes(error: &hyper::Error) -> String {
    let first: &dyn Error = error;
    successors(Some(first), |error| (*error).source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
