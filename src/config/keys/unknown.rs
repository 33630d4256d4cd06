//! Refuses keys that do not exist, with a suggestion.

use crate::config::problems::At;
use crate::config::problems::text::{any_of, suggestion};

/// Reports keys that the mapping at `at` does not have; `known` are those that it has.
pub(super) fn refuse_unknown_keys<'a>(
    unknown: impl Iterator<Item = &'a str>,
    known: fn() -> Vec<&'static str>,
    at: At<'_>,
) {
    for key in unknown {
        at.key(key).refuse_key(message(key, &known()));
    }
}

fn message(key: &str, known: &[&'static str]) -> String {
    match suggestion(key, known.iter().copied()) {
        _ if key == "<<" => "must be a mapping, like the alias in `<<: *name`".to_owned(),
        Some(meant) => format!("unknown key; did you mean `{meant}`?"),
        None => format!("unknown key; must be {}", any_of(known)),
    }
}
