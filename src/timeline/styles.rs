//! Styles and number formats of the lines of a timeline.

use std::fmt::Display;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

/// The styles of text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Styles {
    heading: Style,
    success: Style,
    failure: Style,
    warning: Style,
}

impl Styles {
    /// ANSI colours for terminals.
    pub(crate) const COLOURED: Self = Self {
        heading: Style::new().bold(),
        success: AnsiColor::Green.on_default(),
        failure: AnsiColor::Red.on_default(),
        warning: AnsiColor::Yellow.on_default(),
    };

    /// No colours.
    pub(crate) const PLAIN: Self =
        Self { heading: Style::new(), success: Style::new(), failure: Style::new(), warning: Style::new() };

    /// Formats a heading.
    pub(super) fn heading(self, text: impl Display) -> String {
        styled(self.heading, text)
    }

    /// Formats something that is as expected.
    pub(super) fn success(self, text: impl Display) -> String {
        styled(self.success, text)
    }

    /// Formats something that fails the probe.
    pub(super) fn failure(self, text: impl Display) -> String {
        styled(self.failure, text)
    }

    /// Formats something that deserves attention but does not fail the probe.
    pub(super) fn warning(self, text: impl Display) -> String {
        styled(self.warning, text)
    }
}

/// Formats milliseconds with three decimals, because a handshake within a rack takes fractions of a millisecond.
pub(super) fn milliseconds(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_secs_f64() * 1000.0)
}

fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}
