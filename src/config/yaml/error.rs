//! Errors of YAML and JSON texts, with their fixes.

use crate::config::problems::path::Position;

/// Why a JSON text cannot be used.
#[derive(Debug)]
pub(in crate::config) enum JsonError {
    /// It exceeds a limit.
    Bounds(SyntaxError),
    /// It is not JSON.
    Syntax(String),
}

/// Why a YAML text cannot be used.
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

/// The reason of a [`SyntaxError`].
#[derive(Debug, thiserror::Error)]
pub(in crate::config) enum Cause {
    #[error(
        "a value that is repeated by aliases is itself repeated, too often to be meant; write fewer aliases (`*name`)"
    )]
    AliasesRepeat,
    #[error("the character {0} is not allowed in YAML; remove it, or write it as an escape in double quotes")]
    Character(String),
    #[error("lists and mappings are nested more than {MAX_DEPTH} deep; a configuration needs no more than 5")]
    Depth,
    #[error("a second YAML document starts; a configuration is one document, remove the `---` between the two")]
    SeveralDocuments,
    #[error("with its aliases the file grows to more than {} MiB; write fewer aliases (`*name`)", MAX_BYTES >> 20)]
    Size,
    #[error("is no valid YAML: {0}")]
    Syntax(String),
    #[error("has so many values that they take more than {} MiB", MAX_BYTES >> 20)]
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
    let what = if what.contains('@') { "a value that its tag does not allow" } else { what };
    let context = rest
        .split_once(", ")
        .map(|(_, context)| context)
        .filter(|context| !context.contains("next token"));
    let context = context.map(|context| format!(" {}", context.split(" at line ").next().unwrap_or_default()));
    let indent = line.len() - line.trim_start().len();
    let hint = if line.get(..indent).is_some_and(|indent| indent.contains('\t')) {
        "; indent with blanks, YAML allows no tabs there"
    } else if line.contains('[') && line.contains("::") {
        "; a text that starts with a bracket, such as an IPv6 address, needs quotes"
    } else if what == "unknown anchor" {
        "; `*name` repeats what `&name` marks further up, and a text that starts with `*` needs quotes"
    } else {
        ""
    };
    Cause::Syntax(format!("{what}{}{hint}", context.unwrap_or_default()))
}

/// Deeper than any configuration, and far below the limit of the stack.
pub(in crate::config) const MAX_DEPTH: usize = 32;
/// A file of 200,000 targets with ten settings each takes half of this.
pub(in crate::config) const MAX_BYTES: usize = 256 << 20;
