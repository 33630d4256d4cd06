//! Label names and sets of labels that may stand on a series.

use std::collections::BTreeMap;

/// A label name that users may choose: `[a-zA-Z_][a-zA-Z0-9_]*` and not one of portprobe's or Prometheus' own.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LabelName(Box<str>);

impl LabelName {
    /// Names that portprobe's series have (contract sections 6 and 9) or that Prometheus gives a meaning to. Names that
    /// begin with `__` are reserved, too.
    pub const RESERVED: [&str; 35] = [
        "alpn",
        "audit",
        "cipher",
        "class",
        "code",
        "expect",
        "fingerprint_sha256",
        "group",
        "host",
        "instance",
        "ip",
        "issuer",
        "job",
        "key",
        "key_exchange",
        "le",
        "path",
        "phase",
        "port",
        "protocol",
        "quantile",
        "reason",
        "revision",
        "role",
        "rustc",
        "serial",
        "shard",
        "shards",
        "signature",
        "source",
        "state",
        "subject",
        "target",
        "url",
        "version",
    ];

    /// Takes a name as written in a configuration.
    pub fn try_new(name: &str) -> Result<Self, LabelNameError> {
        let mut bytes = name.bytes();
        let starts_well = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        if !starts_well || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(LabelNameError::Malformed);
        }
        if name.starts_with("__") || Self::RESERVED.contains(&name) {
            return Err(LabelNameError::Reserved);
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text cannot be a label name of a user's.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LabelNameError {
    /// A character that label names cannot have.
    #[error("is no label name; letters, digits and underscores, no digit first")]
    Malformed,
    /// A name that portprobe's own series or Prometheus use.
    #[error("is a reserved label name; choose another, such as one with a prefix of your own")]
    Reserved,
}

/// Labels with distinct names, sorted by name. A label with an empty value does not exist, as in Prometheus.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Labels(Box<[(LabelName, Box<str>)]>);

impl Labels {
    /// These labels overlaid with `nearer` ones: where both have a name the nearer value counts, and an empty nearer
    /// value takes the label away.
    #[must_use]
    pub fn overlaid(&self, nearer: &BTreeMap<LabelName, String>) -> Self {
        let mut merged: BTreeMap<LabelName, Box<str>> = self.0.iter().cloned().collect();
        merged.extend(nearer.iter().map(|(name, value)| (name.clone(), value.as_str().into())));
        merged.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }

    /// Name and value of each label, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), &**value))
    }
}

impl FromIterator<(LabelName, Box<str>)> for Labels {
    /// Collects labels; of two with the same name the later counts.
    fn from_iter<I: IntoIterator<Item = (LabelName, Box<str>)>>(labels: I) -> Self {
        Self(labels.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<LabelName, String> {
        pairs
            .iter()
            .map(|(name, value)| (LabelName::try_new(name).unwrap(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn reserved_and_malformed_names_are_refused() {
        for name in ["team", "_x", "Zone9"] {
            assert!(LabelName::try_new(name).is_ok(), "{name}");
        }
        for name in ["", "9a", "a-b", "a b", "ä", "a:b"] {
            assert_eq!(LabelName::try_new(name), Err(LabelNameError::Malformed), "{name}");
        }
        for name in ["__address__", "le", "quantile", "job", "instance", "target", "phase", "state"] {
            assert_eq!(LabelName::try_new(name), Err(LabelNameError::Reserved), "{name}");
        }
    }

    #[test]
    fn the_nearest_label_wins() {
        let far = Labels::default().overlaid(&labels(&[("team", "ops"), ("zone", "a"), ("tier", "1")]));
        let merged = far.overlaid(&labels(&[("team", "dba"), ("zone", "")]));
        assert_eq!(merged.iter().collect::<Vec<_>>(), [("team", "dba"), ("tier", "1")]);
    }
}
