//! Recognizes a list of targets that may be a part of the complete one, such as half of a file.

use std::collections::HashSet;
use std::hash::Hash;

/// A change that removes more than half of the targets and adds fewer.
///
/// A list of other targets that is as long as the previous one is not a part of it: that is a move.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct MassRemoval {
    /// The number of removed targets.
    pub(crate) removed: usize,
    /// The number of targets before.
    pub(crate) before: usize,
}

impl MassRemoval {
    /// Compares two lists; `None` if it is not such a change.
    pub(crate) fn between<T: Eq + Hash>(before: &HashSet<T>, after: &HashSet<T>) -> Option<Self> {
        if after.len() >= before.len() {
            return None;
        }
        let removed = before.difference(after).count();
        (removed * 2 > before.len()).then_some(Self { removed, before: before.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_shorter_list_removes_most() {
        let of = |names: &'static str| names.split_whitespace().collect::<HashSet<_>>();
        for (before, after, removed) in [
            ("a b c d", "a", Some(3)),
            ("a b c d", "a e f", Some(3)),
            ("a b c d", "", Some(4)),
            ("a b c d", "a b", None),
            ("a b c d", "a b c d e", None),
            ("a b c d", "e f g h", None),
            ("a b", "a", None),
            ("a b", "c", Some(2)),
            ("a", "", Some(1)),
            ("a", "b", None),
            ("", "", None),
        ] {
            let found = MassRemoval::between(&of(before), &of(after)).map(|removal| removal.removed);
            assert_eq!(found, removed, "{before} -> {after}");
        }
    }
}
