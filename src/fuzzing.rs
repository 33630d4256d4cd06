//! What fuzz targets call: the readers of what hostile peers send, which are otherwise private.
//!
//! There only where a fuzzer builds this crate.

pub use crate::probe::fuzzing::{certificate, dialogue};
pub use crate::protocol::fuzzing::converse;
