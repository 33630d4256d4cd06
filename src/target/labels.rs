//! Label names, and sets of labels of a series.

use std::collections::BTreeMap;

/// A label name that users may choose: `[a-zA-Z_][a-zA-Z0-9_]*`, not reserved by portprobe or Prometheus.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LabelName(Box<str>);

impl LabelName {
    /// Label names of portprobe's series, including those of planned features, and names with a meaning in Prometheus.
    /// Names that begin with `__` are reserved too.
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

    /// Checks a name as written in a configuration.
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

/// Reason why users may not choose a label name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LabelNameError {
    /// It is empty or has a character that is not allowed.
    #[error("is not a valid label name; must be letters, digits and underscores, not starting with a digit")]
    Malformed,
    /// portprobe's series or Prometheus use it.
    #[error("reserved label name; choose another, for example with a prefix")]
    Reserved,
}

/// Labels with distinct names, sorted by name. A label with an empty value does not exist, as in Prometheus.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Labels(Box<[(LabelName, Box<str>)]>);

impl Labels {
    /// Maximum number of labels of a target: each is in every series.
    pub const MAX: usize = 64;

    /// Maximum length of a label's name, and of its value.
    pub const MAX_BYTES: usize = 512;

    /// Returns these labels overlaid with `nearer` ones: for a name in both, the nearer value wins. An empty nearer
    /// value removes the label.
    #[must_use]
    pub fn overlaid(&self, nearer: &BTreeMap<LabelName, String>) -> Self {
        let mut merged: BTreeMap<LabelName, Box<str>> = self.0.iter().cloned().collect();
        merged.extend(nearer.iter().map(|(name, value)| (name.clone(), value.as_str().into())));
        merged.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }

    /// Returns the value of a label.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// Name and value of each label, ordered by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), &**value))
    }
}

impl FromIterator<(LabelName, Box<str>)> for Labels {
    /// Collects labels. If a name occurs twice, the later label wins.
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
