//! Colours, where they are for a terminal.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};

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
        let style = match (self, ink) {
            (Self::Plain, _) => Style::new(),
            (Self::Colours, Ink::Bold) => Style::new().bold(),
            (Self::Colours, Ink::Green) => AnsiColor::Green.on_default(),
            (Self::Colours, Ink::Red) => AnsiColor::Red.on_default(),
            (Self::Colours, Ink::Yellow) => AnsiColor::Yellow.on_default(),
        };
        format!("{style}{text}{style:#}")
    }
}
