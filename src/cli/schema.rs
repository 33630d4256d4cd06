//! `portprobe schema`: the JSON Schema of the configuration, for editors.

use crate::config;

/// Returns the schema as indented JSON.
pub fn run() -> String {
    format!("{:#}", config::schema())
}
