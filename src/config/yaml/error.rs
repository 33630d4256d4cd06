//! Errors of YAML and JSON texts, with their fixes.

use crate::config::problems::path::Position;

/// Reason why a JSON text cannot be used.
#[derive(Debug)]
pub(in crate::config) enum JsonError {
    /// It exceeds a limit.
    Bounds(SyntaxError),
    /// It is not JSON.
    Syntax(String),
}

/// Reason why a YAML text cannot be used.
#[derive(Debug)]
pub(in crate::config) struct SyntaxError {
    /// The position, if known.
    pub(in crate::config) position: Option<Position>,
    /// The reason.
    pub(in crate::config) cause: Cause,
}

impl SyntaxError {
    pub(in crate::config) const fn at(position: Option<Position>, cause: Cause) -> Self {
        Self { position, cause }
    }
}

/// The cause of a [`SyntaxError`].
#[derive(Debug, thiserror::Error)]
pub(in crate::config) enum Cause {
    #[error("has aliases that expand to too many values; use fewer aliases (`*name`)")]
    AliasesRepeat,
    #[error("has the character `{0}`, which YAML does not allow; remove it, or escape it in double quotes")]
    Character(String),
    #[error("is nested more than {MAX_DEPTH} levels deep; a configuration needs at most 5")]
    Depth,
    #[error("has a second YAML document; must be one document; remove the `---`")]
    SeveralDocuments,
    #[error("expands to more than {} MiB; use fewer aliases (`*name`)", MAX_BYTES >> 20)]
    Size,
    #[error("is not valid YAML: {0}")]
    Syntax(String),
    #[error("has values of more than {} MiB in memory", MAX_BYTES >> 20)]
    Values,
}

/// Translates an error of `serde_yaml`, which has only a text: removes the position, and explains common mistakes in
/// `line`.
pub(in crate::config) fn syntax(message: &str, line: &str) -> Cause {
    if message.starts_with("repetition limit exceeded") {
        return Cause::AliasesRepeat;
    }
    let (what, rest) = message.split_once(" at line ").unwrap_or((message, ""));
    // If a value does not fit its tag, the text contains the value, which may be a password.
    let what = if what.contains('@') { "a value does not match its tag" } else { what };
    let context = rest
        .split_once(", ")
        .map(|(_, context)| context)
        .filter(|context| !context.contains("next token"));
    let context = context.map(|context| format!(" {}", context.split(" at line ").next().unwrap_or_default()));
    let indent = line.len() - line.trim_start().len();
    let hint = if line.get(..indent).is_some_and(|indent| indent.contains('\t')) {
        "; YAML does not allow tabs here; indent with spaces"
    } else if line.contains('[') && line.contains("::") {
        "; quote strings that start with a bracket, such as IPv6 addresses"
    } else if what == "unknown anchor" {
        "; define `&name` before `*name`, or quote strings that start with `*`"
    } else {
        ""
    };
    Cause::Syntax(format!("{what}{}{hint}", context.unwrap_or_default()))
}

/// Deeper than any configuration, and far below the limit of the stack.
pub(in crate::config) const MAX_DEPTH: usize = 32;
/// A file of 200,000 targets with ten settings each takes half of this.
pub(in crate::config) const MAX_BYTES: usize = 256 << 20;
