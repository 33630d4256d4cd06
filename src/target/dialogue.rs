//! Dialogues: the configured steps on an open connection.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

use super::labels::LabelName;

/// Steps on an open connection, possibly none. Cheap to clone.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Dialogue(pub Arc<[Step]>);

impl Dialogue {
    /// Maximum number of steps.
    pub const MAX_STEPS: usize = 64;

    /// Returns whether there are no steps.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names of all labels that its steps set.
    pub fn labels(&self) -> impl Iterator<Item = &LabelName> {
        let expectations = self.0.iter().filter_map(|step| match step {
            Step::Expect(expectation) => Some(expectation),
            Step::ExpectBytes(_) | Step::Send(_) => None,
        });
        expectations.flat_map(|expectation| expectation.labels.iter().map(|(name, _)| name))
    }
}

/// A step of a [`Dialogue`].
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Step {
    /// Waits until the data received since the last match matches.
    Expect(Expectation),
    /// Waits for exactly these bytes. Not empty.
    ExpectBytes(Box<[u8]>),
    /// Sends these bytes.
    Send(Template),
}

/// Expected data, and the labels taken from it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Expectation {
    /// Pattern for one or more lines.
    pub pattern: Pattern,
    /// Labels of `dialogue_info`, with values from this match.
    pub labels: Vec<(LabelName, Template)>,
}

/// A regular expression on bytes. `.` matches any byte except line ends, `^` and `$` match at line ends, LF or CR LF.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles an expression.
    pub fn try_new(expression: &str) -> Result<Self, regex::Error> {
        let mut builder = RegexBuilder::new(expression);
        builder
            .unicode(false)
            .multi_line(true)
            .crlf(true)
            .size_limit(MAX_PATTERN_BYTES)
            .build()
            .map(Self)
    }

    /// The compiled expression.
    pub const fn regex(&self) -> &Regex {
        &self.0
    }
}

impl Eq for Pattern {}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_str().hash(state);
    }
}

/// Bytes with references to groups of the last match.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Template(pub Box<[Part]>);

/// A part of a [`Template`].
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Part {
    /// These bytes.
    Bytes(Box<[u8]>),
    /// The text of the group with this index; empty if the group did not participate in the match.
    Group(usize),
}

/// Room for a thousand repetitions of a character. The time of a match grows faster than this limit: on 64 KiB from a
/// hostile peer it takes up to 0.1 s, and with eight times the limit 10 s.
const MAX_PATTERN_BYTES: usize = 128 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_expression_is_too_large() {
        for (expression, fits) in [
            ("^(?:250-[^\\r\\n]*\\r\\n)*250 .*$", true),
            ("^[ -~]{0,1000}$", true),
            ("(?s)a.{0,1000}b", true),
            ("(?s)a.{0,3000}b", false),
            ("(?s)(a.{0,500}){3}b", false),
        ] {
            assert_eq!(Pattern::try_new(expression).is_ok(), fits, "{expression}");
        }
    }
}
