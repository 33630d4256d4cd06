//! Dialogues: the configured steps on an open connection.

use std::sync::Arc;

use super::labels::LabelName;
use super::pattern::Pattern;

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
