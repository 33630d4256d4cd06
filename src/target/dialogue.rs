//! What is said on an open connection, step by step.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

use super::labels::LabelName;

/// Steps on an open connection, one after another, possibly none. Cheap to clone.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Dialogue(pub Arc<[Step]>);

impl Dialogue {
    /// The most steps that a dialogue can have.
    pub const MAX_STEPS: usize = 64;

    /// Whether there is nothing to say or to hear.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every label that its steps give.
    pub fn labels(&self) -> impl Iterator<Item = &LabelName> {
        let expectations = self.0.iter().filter_map(|step| match step {
            Step::Expect(expectation) => Some(expectation),
            Step::ExpectBytes(_) | Step::Send(_) => None,
        });
        expectations.flat_map(|expectation| expectation.labels.iter().map(|(name, _)| name))
    }
}

/// One step.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Step {
    /// What came since the last match must match.
    Expect(Expectation),
    /// The next bytes must be these. Not empty.
    ExpectBytes(Box<[u8]>),
    /// To be sent byte for byte.
    Send(Template),
}

/// What must come, and what is taken from it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Expectation {
    /// What a line, or several, must match.
    pub pattern: Pattern,
    /// Labels of `dialogue_info`, their values from this match.
    pub labels: Vec<(LabelName, Template)>,
}

/// A regular expression on bytes: `.` is any byte but those of a line end, `^` and `$` match at the ends of lines that
/// end in LF or CR LF.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles an expression; the error says what is wrong with it.
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

    /// The expression, compiled.
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

/// Bytes with places for what the last match captured.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Template(pub Box<[Part]>);

/// A part of a [`Template`].
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Part {
    /// These bytes.
    Bytes(Box<[u8]>),
    /// What the group of this index captured; nothing where it took no part in the match.
    Group(usize),
}

/// Room for a thousand repetitions of a character. What a try costs grows faster than this: with 64 KiB of what a hostile
/// peer sends it takes up to a tenth of a second, and at eight times the size ten seconds.
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
