//! Styles and number formats of the lines that `portprobe probe` prints.

use std::fmt::Display;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

/// The styles of text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Styles {
    heading: Style,
    success: Style,
    failure: Style,
    warning: Style,
}

impl Styles {
    /// ANSI colours, for a terminal.
    pub(super) const COLOURED: Self = Self {
        heading: Style::new().bold(),
        success: AnsiColor::Green.on_default(),
        failure: AnsiColor::Red.on_default(),
        warning: AnsiColor::Yellow.on_default(),
    };

    /// No colours, for a pipe.
    pub(super) const PLAIN: Self =
        Self { heading: Style::new(), success: Style::new(), failure: Style::new(), warning: Style::new() };

    /// A heading.
    pub(super) fn heading(self, text: impl Display) -> String {
        styled(self.heading, text)
    }

    /// Something that is as expected.
    pub(super) fn success(self, text: impl Display) -> String {
        styled(self.success, text)
    }

    /// Something that fails the probe.
    pub(super) fn failure(self, text: impl Display) -> String {
        styled(self.failure, text)
    }

    /// Something that deserves attention and does not fail the probe.
    pub(super) fn warning(self, text: impl Display) -> String {
        styled(self.warning, text)
    }
}

/// Milliseconds with three decimals, because a handshake within a rack takes fractions of a millisecond.
pub(super) fn milliseconds(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_secs_f64() * 1000.0)
}

fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}
