//! The last outcomes of a target as text: `ok:1203 refused:88`, each with its duration in microseconds, oldest first.

use std::fmt::Write as _;
use std::time::Duration;

use crate::board::Recent;
use crate::outcome::Class;

/// Writes outcomes.
pub(super) fn to_text(outcomes: &[Recent]) -> String {
    let mut text = String::new();
    for Recent { failure, duration } in outcomes {
        let separator = if text.is_empty() { "" } else { " " };
        let name = failure.map_or(SUCCESS, Class::as_str);
        // Writing to a string does not fail.
        let _ = write!(text, "{separator}{name}:{}", duration.as_micros());
    }
    text
}

/// Reads outcomes. Unknown ones are skipped, such as those of a newer version.
pub(super) fn of_text(text: &str) -> Vec<Recent> {
    text.split_ascii_whitespace().filter_map(outcome).collect()
}

fn outcome(text: &str) -> Option<Recent> {
    let (name, micros) = text.split_once(':')?;
    let failure = if name == SUCCESS { None } else { Some(Class::of_name(name)?) };
    Some(Recent { failure, duration: Duration::from_micros(micros.parse().ok()?) })
}

const SUCCESS: &str = "ok";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_survives() {
        let recent = |(failure, micros)| Recent { failure, duration: Duration::from_micros(micros) };
        let classes = Class::ALL.into_iter().map(Some).chain([None]);
        let outcomes: Vec<_> = classes
            .zip([0, 88, 1203, 86_400_000_000].into_iter().cycle())
            .map(recent)
            .collect();
        assert_eq!(of_text(&to_text(&outcomes)), outcomes);
        assert_eq!(to_text(&outcomes[21..]), "disconnected:88 stalled:1203 ok:86400000000");
        assert_eq!(to_text(&[]), "");
    }

    #[test]
    fn unknown_outcomes_are_skipped() {
        let expected = [Recent { failure: None, duration: Duration::from_micros(2) }];
        assert_eq!(of_text("broken:1 ok:2 ok ok: ok:x :3"), expected);
    }
}
