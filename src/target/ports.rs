//! Port lists: `443`, or `22,3306,8000-8010`.

use std::fmt;
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A list of ports and ranges in the order written; not empty, no port twice.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Ports(Vec<RangeInclusive<NonZeroU16>>);

impl Ports {
    /// Every port, in the order written.
    pub fn iter(&self) -> impl Iterator<Item = NonZeroU16> + '_ {
        self.0
            .iter()
            .flat_map(|range| (range.start().get()..=range.end().get()).filter_map(NonZeroU16::new))
    }

    /// Whether a port is in the list.
    pub fn contains(&self, port: NonZeroU16) -> bool {
        self.0.iter().any(|range| range.contains(&port))
    }

    /// The number of ports, at least one.
    pub fn count(&self) -> usize {
        self.0
            .iter()
            .map(|range| usize::from(range.end().get() - range.start().get()) + 1)
            .sum()
    }
}

impl From<NonZeroU16> for Ports {
    fn from(port: NonZeroU16) -> Self {
        Self(vec![port..=port])
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for range in &self.0 {
            f.write_str(separator)?;
            separator = ",";
            match (range.start(), range.end()) {
                (first, last) if first == last => write!(f, "{first}")?,
                (first, last) => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Ports {
    type Err = PortsError;

    fn from_str(text: &str) -> Result<Self, PortsError> {
        let ranges = text.split(',').map(range).collect::<Result<Vec<_>, _>>()?;
        let mut sorted: Vec<_> = ranges.iter().map(|range| (range.start().get(), range.end().get())).collect();
        sorted.sort_unstable();
        match sorted.array_windows().find(|[before, after]| after.0 <= before.1) {
            Some([_, (again, _)]) => Err(PortsError::Twice(*again)),
            None => Ok(Self(ranges)),
        }
    }
}

/// Reason why a text is not a list of ports.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PortsError {
    /// A port is missing.
    #[error("has an empty port; must be ports or ranges, like 443 or 22,8000-8010")]
    Empty,
    /// It has letters, signs or blanks.
    #[error("`{0}` is not a valid port; must be a number between 1 and 65535, or a list like 22,8000-8010")]
    NotANumber(String),
    /// The port is 0 or above 65535.
    #[error("port {0} is out of range; must be between 1 and 65535")]
    OutOfRange(String),
    /// A range begins with its larger port.
    #[error("range {0}-{1} is reversed; write {1}-{0}")]
    Reversed(u16, u16),
    /// A port occurs twice.
    #[error("duplicate port {0}; remove one")]
    Twice(u16),
}

fn range(text: &str) -> Result<RangeInclusive<NonZeroU16>, PortsError> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err(PortsError::Reversed(first.get(), last.get()));
    }
    Ok(first..=last)
}

fn port(text: &str) -> Result<NonZeroU16, PortsError> {
    if text.is_empty() {
        return Err(PortsError::Empty);
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(PortsError::NotANumber(text.to_owned()));
    }
    text.parse().map_err(|_| PortsError::OutOfRange(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Vec<u16> {
        text.parse::<Ports>().unwrap().iter().map(NonZeroU16::get).collect()
    }

    #[test]
    fn a_list_displays_as_written() {
        for text in ["443", "22,3306,8000-8002", "8000-8010,22"] {
            let ports: Ports = text.parse().unwrap();
            assert_eq!(ports.to_string(), text);
            assert!(ports.iter().all(|port| ports.contains(port)) && !ports.contains(NonZeroU16::MAX));
        }
    }

    #[test]
    fn lists_and_ranges_keep_their_order() {
        assert_eq!(parsed("443"), [443]);
        assert_eq!(parsed("22,3306,8000-8002"), [22, 3306, 8000, 8001, 8002]);
        assert_eq!(parsed("1-65535").len(), 65535);
        assert_eq!(parsed("65535"), [65535]);
    }

    #[test]
    fn invalid_lists_are_refused_with_a_reason() {
        for (text, error) in [
            ("", PortsError::Empty),
            ("22,", PortsError::Empty),
            ("-80", PortsError::Empty),
            ("80-", PortsError::Empty),
            ("0", PortsError::OutOfRange("0".into())),
            ("65536", PortsError::OutOfRange("65536".into())),
            ("99999999999999999999", PortsError::OutOfRange("99999999999999999999".into())),
            ("http", PortsError::NotANumber("http".into())),
            ("+80", PortsError::NotANumber("+80".into())),
            ("1-2-3", PortsError::NotANumber("2-3".into())),
            ("90-80", PortsError::Reversed(90, 80)),
            ("80,80", PortsError::Twice(80)),
            ("8000-8010,8005", PortsError::Twice(8005)),
        ] {
            assert_eq!(text.parse::<Ports>(), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in "[0-9,x -]{0,24}") {
            if let Ok(ports) = text.parse::<Ports>() {
                prop_assert_eq!(ports.iter().count(), ports.count());
            }
        }
    }
}
