//! Entry points for fuzz targets: parsers of data from peers, which are otherwise private.
//!
//! Only compiled by fuzzers.

pub use crate::probe::fuzzing::{certificate, dialogue};
pub use crate::protocol::fuzzing::converse;
