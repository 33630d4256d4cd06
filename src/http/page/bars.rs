//! Drawings: bars of outcomes and days, and durations as a line. A drawing has one path for each meaning.
//!
//! Every meaning has its height or place in addition to its colour, so that it is visible without colours.

use std::fmt::Write as _;
use std::time::Duration;

use crate::board::{Day, DayFigures, Recent};

/// Bars in three meanings, as data of SVG paths. A failure is taller than a success.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Bars {
    /// Width of the drawing.
    pub(super) width: usize,
    /// Time up, or successes.
    pub(super) up: String,
    /// Time down, or failures.
    pub(super) down: String,
    /// Without data.
    pub(super) unknown: String,
    /// The same in words.
    pub(super) words: String,
}

impl Bars {
    /// Draws the last outcomes, the latest at the right.
    pub(super) fn of_outcomes(recent: &[Recent], count: usize) -> Self {
        let shown = recent.get(recent.len().saturating_sub(count)..).unwrap_or_default();
        let failed = shown.iter().filter(|recent| recent.failure.is_some()).count();
        let mut bars = Self { width: count * STEP, words: outcomes_in_words(failed, shown.len()), ..Self::default() };
        let missing = count - shown.len();
        (0..missing).for_each(|column| stroke(&mut bars.unknown, column, HEIGHT - DOT, HEIGHT));
        for (column, recent) in (missing..).zip(shown) {
            match recent.failure {
                Some(_) => stroke(&mut bars.down, column, 0, HEIGHT),
                None => stroke(&mut bars.up, column, HEIGHT - SUCCESS, HEIGHT),
            }
        }
        bars
    }

    /// Draws the days until today, which is at the right. A day's part that is down is at the top of its bar.
    pub(super) fn of_days(figures: &[DayFigures], today: Day, count: u32) -> Self {
        let days = latest(figures, today, count);
        let mut bars = Self { width: days.len() * STEP, words: days_in_words(&days), ..Self::default() };
        for (column, day) in days.iter().enumerate() {
            match day.as_ref().and_then(share_down) {
                None => stroke(&mut bars.unknown, column, HEIGHT - DOT, HEIGHT),
                Some(share) if share <= 0.0 => stroke(&mut bars.up, column, HEIGHT - SUCCESS, HEIGHT),
                Some(share) => {
                    let down = height_down(share);
                    stroke(&mut bars.down, column, 0, down);
                    if down < HEIGHT {
                        stroke(&mut bars.up, column, down, HEIGHT);
                    }
                }
            }
        }
        bars
    }
}

/// Returns the figures of the last days in order, `None` for those without any.
pub(super) fn latest(figures: &[DayFigures], today: Day, count: u32) -> Vec<Option<DayFigures>> {
    let first = today.number().saturating_sub(count.saturating_sub(1));
    let day = |number| figures.iter().find(|figures| figures.day.number() == number).copied();
    (first..=today.number()).map(day).collect()
}

/// Returns the part of the known time in which the target was down, from 0 to 1; `None` if nothing is known.
pub(super) fn share_down(figures: &DayFigures) -> Option<f64> {
    let (up, down) = (f64::from(figures.up_millis), f64::from(figures.down_millis));
    (up + down > 0.0).then(|| down / (up + down))
}

/// Returns the uptime in these days in per cent, with at most as many decimals as it takes to show a loss: never 100 %
/// if it was down, never 0 % if it was up.
pub(super) fn uptime(figures: &[DayFigures], today: Day, count: u32) -> Option<String> {
    let first = today.number().saturating_sub(count.saturating_sub(1));
    let days = figures
        .iter()
        .filter(|day| (first..=today.number()).contains(&day.day.number()));
    let (up, down) =
        days.fold((0_u64, 0_u64), |(up, down), day| (up + u64::from(day.up_millis), down + u64::from(day.down_millis)));
    if up + down == 0 {
        return None;
    }
    // Rounded towards the loss, in hundredths of a per cent.
    let hundredths = u128::from(up) * 10_000 / u128::from(up + down);
    Some(match hundredths {
        10_000 => "100 %".to_owned(),
        0 if up > 0 => "0.01 %".to_owned(),
        _ => format!("{}.{:02} %", hundredths / 100, hundredths % 100),
    })
}

/// Durations as a line.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Sparkline {
    /// Width of the drawing.
    pub(super) width: usize,
    /// The line through the durations of successful probes.
    pub(super) line: String,
    /// Marks of failed probes.
    pub(super) failures: String,
    /// The longest of them.
    pub(super) longest: Duration,
}

impl Sparkline {
    /// Draws the durations of the last outcomes, the latest at the right; `None` without a successful one.
    pub(super) fn of(recent: &[Recent], count: usize, height: u16) -> Option<Self> {
        let shown = recent.get(recent.len().saturating_sub(count)..).unwrap_or_default();
        let successful = shown.iter().filter(|recent| recent.failure.is_none());
        let longest = successful.map(|recent| recent.duration).max()?;
        let mut sparkline = Self { width: count * STEP, longest, ..Self::default() };
        let missing = count - shown.len();
        let mut pen = 'M';
        for (column, recent) in (missing..).zip(shown) {
            if recent.failure.is_some() {
                stroke(&mut sparkline.failures, column, height - FAILURE, height);
                pen = 'M';
                continue;
            }
            let share = recent.duration.as_secs_f64() / longest.as_secs_f64().max(f64::MIN_POSITIVE);
            let y = f64::from(height) - 1.0 - share * (f64::from(height) - 2.0);
            // A single point has no length; a short line makes it visible.
            let _ = write!(sparkline.line, "{pen}{} {y:.1}h1", column * STEP + 1);
            pen = 'L';
        }
        Some(sparkline)
    }
}

fn stroke(path: &mut String, column: usize, from: u16, to: u16) {
    // Writing to a string does not fail.
    let _ = write!(path, "M{} {from}v{}", column * STEP + 1, to.saturating_sub(from));
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of the height")]
fn height_down(share: f64) -> u16 {
    ((share * f64::from(HEIGHT)).ceil() as u16).clamp(SMALLEST, HEIGHT)
}

fn outcomes_in_words(failed: usize, of: usize) -> String {
    match (failed, of) {
        (_, 0) => "no probe yet".to_owned(),
        (0, 1) => "the last probe succeeded".to_owned(),
        (0, of) => format!("the last {of} probes succeeded"),
        (failed, of) if failed == of => format!("the last {of} probes failed"),
        (failed, of) => format!("{failed} of the last {of} probes failed"),
    }
}

fn days_in_words(days: &[Option<DayFigures>]) -> String {
    let known: Vec<_> = days.iter().flatten().filter_map(share_down).collect();
    let down = known.iter().filter(|share| **share > 0.0).count();
    match (down, known.len()) {
        (_, 0) => "no history yet".to_owned(),
        (0, 1) => "1 day known, without time down".to_owned(),
        (0, known) => format!("{known} days known, without time down"),
        (down, known) => format!("time down on {down} of {known} known days"),
    }
}

/// Width of a bar with its gap.
const STEP: usize = 4;

/// Height of a drawing of bars.
const HEIGHT: u16 = 20;

/// Height of the bar of a success.
const SUCCESS: u16 = 14;

/// Height of the smallest part that is down.
const SMALLEST: u16 = 6;

/// Height of a mark without data.
const DOT: u16 = 3;

/// Height of the mark of a failed probe in a line.
const FAILURE: u16 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Class;

    fn day(number: u32, up_millis: u32, down_millis: u32) -> DayFigures {
        DayFigures { day: Day::from_number(number), up_millis, down_millis, ..DayFigures::default() }
    }

    fn recent(failure: Option<Class>, milliseconds: u64) -> Recent {
        Recent { failure, duration: Duration::from_millis(milliseconds) }
    }

    #[test]
    fn a_failed_outcome_is_taller_than_a_good_one() {
        let bars = Bars::of_outcomes(&[recent(None, 1), recent(Some(Class::Refused), 1)], 3);
        assert_eq!((&*bars.unknown, &*bars.up, &*bars.down), ("M1 17v3", "M5 6v14", "M9 0v20"));
        assert_eq!((bars.width, &*bars.words), (12, "1 of the last 2 probes failed"));
    }

    #[test]
    fn a_day_shows_its_part_down_and_gaps() {
        let figures = [day(10, 1000, 0), day(12, 500, 500)];
        let bars = Bars::of_days(&figures, Day::from_number(12), 3);
        assert_eq!((&*bars.up, &*bars.unknown, &*bars.down), ("M1 6v14M9 10v10", "M5 17v3", "M9 0v10"));
        assert_eq!(bars.words, "time down on 1 of 2 known days");
        let barely = Bars::of_days(&[day(1, 86_000_000, 1)], Day::from_number(1), 1);
        assert_eq!(barely.down, "M1 0v6", "a millisecond is visible");
    }

    #[test]
    fn uptime_is_never_rounded_to_perfect() {
        let today = Day::from_number(100);
        for (up, down, expected) in [
            (0, 0, None),
            (1000, 0, Some("100 %")),
            (86_399_999, 1, Some("99.99 %")),
            (1, 86_399_999, Some("0.01 %")),
            (0, 5, Some("0.00 %")),
            (3, 1, Some("75.00 %")),
        ] {
            assert_eq!(uptime(&[day(100, up, down)], today, 30).as_deref(), expected);
        }
        assert_eq!(uptime(&[day(70, 0, 5), day(71, 5, 0)], today, 30).as_deref(), Some("100 %"), "30 days with today");
    }

    #[test]
    fn a_failure_interrupts_the_line() {
        let outcomes = [recent(None, 5), recent(None, 10), recent(Some(Class::Reset), 80), recent(None, 10)];
        let sparkline = Sparkline::of(&outcomes, 4, 20).unwrap();
        assert_eq!(sparkline.line, "M1 10.0h1L5 1.0h1M13 1.0h1");
        assert_eq!(sparkline.failures, "M9 15v5");
        assert!(sparkline.longest.abs_diff(Duration::from_millis(10)) < Duration::from_millis(1));
        assert_eq!(Sparkline::of(&[recent(Some(Class::Reset), 1)], 4, 20), None);
    }
}
