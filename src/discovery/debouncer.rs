//! What is made of the answers of one source: which of them are told, and which wait for another that agrees.

use std::sync::Arc;

use super::Found;
use crate::config::Discovered;

/// What a source has said so far, as far as it was told.
#[derive(Debug, Default)]
pub(super) struct Belief {
    /// The entries that were told last; none before the first answer.
    entries: Option<Arc<[Discovered]>>,
    /// Whether what was told last had something wrong in it.
    is_troubled: bool,
    /// Whether the last answer was empty after one that was not.
    is_doubted: bool,
}

impl Belief {
    /// Goes on from what was told before. Whether that had something wrong in it is not known, so the first answer is told.
    pub(super) fn resuming(entries: Arc<[Discovered]>) -> Self {
        Self { entries: Some(entries), is_troubled: true, is_doubted: false }
    }

    /// What is to be told after another look, if anything.
    ///
    /// - A failure is told each time, so that it can be counted; the entries stay.
    /// - No entries after some are believed where the next answer has none either; a failure in between is no answer.
    ///   Until then the entries stay.
    /// - Other entries than before are told; so are the same ones with complaints, or after trouble, for the trouble is
    ///   over.
    pub(super) fn observe(&mut self, look: Result<Found, String>) -> Option<Result<Found, String>> {
        let found = match look {
            Ok(found) => found,
            Err(why) => {
                self.is_troubled = true;
                return Some(Err(why));
            }
        };
        let had_some = self.entries.as_ref().is_some_and(|entries| !entries.is_empty());
        let is_doubtful = found.entries.is_empty() && had_some && !self.is_doubted;
        self.is_doubted = is_doubtful;
        let entries = self.entries.clone().filter(|_| is_doubtful).unwrap_or(found.entries);
        let is_known = self.entries.as_ref().is_some_and(|known| Arc::ptr_eq(known, &entries) || *known == entries);
        let is_silent = is_known && found.complaints.is_empty() && (!self.is_troubled || is_doubtful);
        if is_silent {
            return None;
        }
        self.is_troubled = !found.complaints.is_empty();
        self.entries = Some(entries.clone());
        Some(Ok(Found { entries, complaints: found.complaints }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str]) -> Found {
        let entries = names.iter().map(|name| Discovered::address((*name).to_owned())).collect();
        Found { entries, complaints: Vec::new() }
    }

    fn failed() -> Result<Found, String> {
        Err("down".to_owned())
    }

    fn complaining(names: &[&str]) -> Found {
        Found { complaints: vec!["half".to_owned()], ..found(names) }
    }

    /// Each look stands beside what is told of it.
    #[track_caller]
    fn told(looks: impl IntoIterator<Item = (Result<Found, String>, Option<Result<Found, String>>)>) {
        let mut belief = Belief::default();
        for (index, (look, expected)) in looks.into_iter().enumerate() {
            assert_eq!(belief.observe(look), expected, "look {index}");
        }
    }

    #[test]
    fn only_what_differs_is_told() {
        told([
            (Ok(found(&["a"])), Some(Ok(found(&["a"])))),
            (Ok(found(&["a"])), None),
            (Ok(found(&["a", "b"])), Some(Ok(found(&["a", "b"])))),
            (Ok(found(&["b", "a"])), Some(Ok(found(&["b", "a"])))),
            (Ok(found(&["b", "a"])), None),
        ]);
    }

    #[test]
    fn a_source_that_shrinks_to_nothing_is_believed_on_the_second_answer() {
        told([
            (Ok(found(&["a"])), Some(Ok(found(&["a"])))),
            (Ok(found(&[])), None),
            (Ok(found(&["a"])), None),
            (Ok(found(&[])), None),
            (Ok(found(&[])), Some(Ok(found(&[])))),
            (Ok(found(&[])), None),
            (Ok(found(&["a"])), Some(Ok(found(&["a"])))),
        ]);
    }

    #[test]
    fn what_was_told_before_is_not_forgotten_for_an_empty_answer() {
        let mut belief = Belief::resuming(found(&["a"]).entries);
        assert_eq!(belief.observe(Ok(found(&[]))), None);
        assert_eq!(belief.observe(Ok(found(&["a"]))), Some(Ok(found(&["a"]))));
        assert_eq!(belief.observe(Ok(found(&[]))), None);
        assert_eq!(belief.observe(Ok(found(&[]))), Some(Ok(found(&[]))));
    }

    #[test]
    fn a_source_that_is_empty_from_the_start_is_believed_at_once() {
        told([
            (Ok(found(&[])), Some(Ok(found(&[])))),
            (Ok(found(&[])), None),
            (Ok(found(&["a"])), Some(Ok(found(&["a"])))),
        ]);
    }

    #[test]
    fn every_failure_is_told_and_so_is_its_end() {
        told([
            (failed(), Some(failed())),
            (Ok(found(&["a"])), Some(Ok(found(&["a"])))),
            (failed(), Some(failed())),
            (failed(), Some(failed())),
            (Ok(found(&["a"])), Some(Ok(found(&["a"])))),
            (Ok(found(&["a"])), None),
        ]);
    }

    #[test]
    fn a_failure_between_two_empty_answers_is_no_answer() {
        told([
            (Ok(found(&["a"])), Some(Ok(found(&["a"])))),
            (Ok(found(&[])), None),
            (failed(), Some(failed())),
            (Ok(found(&[])), Some(Ok(found(&[])))),
        ]);
    }

    #[test]
    fn complaints_are_told_each_time_beside_what_holds() {
        told([
            (Ok(complaining(&["a"])), Some(Ok(complaining(&["a"])))),
            (Ok(complaining(&["a"])), Some(Ok(complaining(&["a"])))),
            (Ok(complaining(&[])), Some(Ok(complaining(&["a"])))),
            (Ok(found(&["a"])), Some(Ok(found(&["a"])))),
            (Ok(found(&["a"])), None),
            (Ok(found(&[])), None),
            (Ok(complaining(&[])), Some(Ok(complaining(&[])))),
        ]);
    }
}
