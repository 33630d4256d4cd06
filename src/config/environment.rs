//! `${NAME}` in the global labels: the one place where a configuration depends on where it runs.

use crate::config::keys::RawLabels;
use crate::config::keys::value::Given;
use crate::config::levels;
use crate::config::problems::Problems;
use crate::config::problems::path::At;
use crate::config::problems::text::quoted;
use crate::target::Labels;

/// The global labels, with what the environment says in place of each `${NAME}`.
pub(super) fn labels(
    given: Given<RawLabels>,
    at: At<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
    problems: &mut Problems,
) -> Labels {
    let mut labels = levels::labels(given, at, problems);
    for (name, value) in &mut labels {
        match expanded(value, environment) {
            Ok(text) => *value = text,
            Err(error) => problems.add(at.key(name.as_str()), error.to_string()),
        }
    }
    Labels::default().overlaid(&labels)
}

/// Why a value cannot be completed from the environment.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
enum ExpandError {
    #[error("has {} where a variable's name was due; write ${{NAME}} with letters, digits and underscores", quoted(.0))]
    NameMalformed(String),
    #[error("has `${{` without a `}}` behind it; an environment variable is written ${{NAME}}")]
    Unclosed,
    #[error("takes the environment variable `{0}`, which is not set; set it or write the value itself")]
    Unset(String),
}

/// The text with each `${NAME}` replaced. Any other `$` stands for itself, `$$` for two.
fn expanded(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, ExpandError> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, reference)) = rest.split_once("${") {
        let (name, after) = reference.split_once('}').ok_or(ExpandError::Unclosed)?;
        if !is_variable_name(name) {
            return Err(ExpandError::NameMalformed(name.to_owned()));
        }
        expanded.push_str(before);
        expanded.push_str(&environment(name).ok_or_else(|| ExpandError::Unset(name.to_owned()))?);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn is_variable_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_in_braces_is_replaced_and_once() {
        let environment = |name: &str| match name {
            "POD" => Some("web-1".to_owned()),
            "NESTED" => Some("${POD}".to_owned()),
            _ => None,
        };
        for (text, expected) in [
            ("", Ok("")),
            ("a ${POD} b${POD}", Ok("a web-1 bweb-1")),
            ("${NESTED}", Ok("${POD}")),
            ("$", Ok("$")),
            ("$$ $POD $5 {}", Ok("$$ $POD $5 {}")),
            ("$${POD}", Ok("$web-1")),
            ("${pod}", Err(ExpandError::Unset("pod".into()))),
            ("${POD", Err(ExpandError::Unclosed)),
            ("${}", Err(ExpandError::NameMalformed(String::new()))),
            ("${a-b}", Err(ExpandError::NameMalformed("a-b".into()))),
        ] {
            assert_eq!(expanded(text, &environment), expected.map(str::to_owned), "{text}");
        }
    }
}
