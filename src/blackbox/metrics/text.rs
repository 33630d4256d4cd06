//! The text formats of Prometheus.

use std::fmt::{self, Display, Write as _};

use super::{Metric, Series};

/// A text format.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Syntax {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus text 0.0.4.
    Prometheus,
}

/// Metrics that display themselves as text.
#[derive(Clone, Copy, Debug)]
pub struct Exposition<'a> {
    /// The metrics.
    pub metrics: &'a [Metric],
    /// The format.
    pub syntax: Syntax,
}

impl Display for Exposition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Metric { name, help, series } in self.metrics {
            writeln!(f, "# HELP {name} {help}\n# TYPE {name} gauge")?;
            for Series { labels, value } in series {
                writeln!(f, "{name}{} {value}", Labels(labels))?;
            }
        }
        match self.syntax {
            Syntax::OpenMetrics => f.write_str("# EOF\n"),
            Syntax::Prometheus => Ok(()),
        }
    }
}

struct Labels<'a>(&'a [(String, String)]);

impl Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            write!(f, "{}{name}=\"", if index == 0 { '{' } else { ',' })?;
            for character in value.chars() {
                match character {
                    '\\' => f.write_str("\\\\")?,
                    '"' => f.write_str("\\\"")?,
                    '\n' => f.write_str("\\n")?,
                    character => f.write_char(character)?,
                }
            }
            f.write_char('"')?;
        }
        if self.0.is_empty() { Ok(()) } else { f.write_char('}') }
    }
}
