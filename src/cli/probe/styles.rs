//! Colours, where they are for a terminal.

use std::fmt::Display;

/// Whether lines have colours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Palette {
    /// ANSI colours, for a terminal.
    Colours,
    /// None, for a pipe.
    Plain,
}

/// What a colour stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ink {
    /// A heading.
    Bold,
    /// As it should be.
    Green,
    /// What fails the probe.
    Red,
    /// What does not, and is worth a look.
    Yellow,
}

impl Palette {
    /// The text in this ink, where there is any.
    pub(super) fn paint(self, ink: Ink, text: impl Display) -> String {
        let colour = match (self, ink) {
            (Self::Plain, _) => return text.to_string(),
            (Self::Colours, Ink::Bold) => "\x1b[1m",
            (Self::Colours, Ink::Green) => "\x1b[32m",
            (Self::Colours, Ink::Red) => "\x1b[31m",
            (Self::Colours, Ink::Yellow) => "\x1b[33m",
        };
        format!("{colour}{text}\x1b[0m")
    }
}
