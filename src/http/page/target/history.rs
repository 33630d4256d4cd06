//! The history of a target as drawings: outcomes, durations, days.

use std::time::Duration;

use crate::board::{Day, DayFigures, Recent};
use crate::clock::Utc;
use crate::http::page::bars::{Bars, Sparkline, latest, share_down};
use crate::http::page::times::{brief, span};
use crate::http::page::why::title;

/// The last outcomes, each with its text.
#[derive(Clone, Debug)]
pub(super) struct OutcomeBars {
    /// The same in words.
    pub(super) words: String,
    pub(super) width: usize,
    pub(super) bars: Vec<Bar>,
}

/// A bar with its text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Bar {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) height: usize,
    /// The class of the style sheet.
    pub(super) state: &'static str,
    pub(super) words: String,
}

impl OutcomeBars {
    pub(super) fn of(recent: &[Recent]) -> Self {
        let slowest = recent.iter().map(|recent| recent.duration).max().unwrap_or_default();
        let count = recent.len();
        let bar = |(index, recent): (usize, &Recent)| {
            let ago = match count - index {
                1 => "last probe".to_owned(),
                ago => format!("{ago} probes ago"),
            };
            let words = match recent.failure {
                None => format!("{ago}: succeeded in {}", brief(recent.duration)),
                Some(class) => format!("{ago}: {} after {}", title(class), brief(recent.duration)),
            };
            let (state, y) = if recent.failure.is_some() { ("down", 0) } else { ("up", 10) };
            Bar { x: (CAPACITY - count + index) * STEP, y, height: HEIGHT - y, state, words }
        };
        let Bars { words, .. } = Bars::of_outcomes(recent, CAPACITY);
        let words = if count > 0 { format!("{words}; the slowest took {}", brief(slowest)) } else { words };
        Self { words, width: CAPACITY * STEP, bars: recent.iter().enumerate().map(bar).collect() }
    }
}

/// The durations of the last outcomes.
#[derive(Clone, Debug)]
pub(super) struct LatencyPlot {
    pub(super) drawing: Sparkline,
    pub(super) height: u16,
    pub(super) longest: String,
    pub(super) median: String,
    pub(super) last: String,
}

impl LatencyPlot {
    /// Draws the plot; `None` without a successful probe.
    pub(super) fn of(recent: &[Recent]) -> Option<Self> {
        let drawing = Sparkline::of(recent, CAPACITY, PLOT_HEIGHT)?;
        let successful = recent.iter().filter(|recent| recent.failure.is_none());
        let mut durations: Vec<Duration> = successful.map(|recent| recent.duration).collect();
        let last = durations.last().copied().unwrap_or_default();
        durations.sort();
        let median = durations.get(durations.len() / 2).copied().unwrap_or_default();
        Some(Self {
            longest: brief(drawing.longest),
            median: brief(median),
            last: brief(last),
            drawing,
            height: PLOT_HEIGHT,
        })
    }
}

/// The last days as bars, each with its text.
#[derive(Clone, Debug)]
pub(super) struct DayBars {
    pub(super) words: String,
    pub(super) width: usize,
    pub(super) bars: Vec<Bar>,
    /// The days with time down, the latest first, as the same in a table.
    pub(super) down: Vec<DownDay>,
}

/// A day with time down.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct DownDay {
    pub(super) date: String,
    pub(super) down: String,
    pub(super) failures: String,
}

impl DayBars {
    pub(super) fn of(figures: &[DayFigures], today: Day, count: u32) -> Self {
        let days = latest(figures, today, count);
        let mut bars = Vec::new();
        let first = today.number().saturating_sub(count.saturating_sub(1));
        for (column, (number, day)) in (first..).zip(&days).enumerate() {
            let words = day_in_words(number, day.as_ref());
            let bar = |state, y, height| Bar { x: column * STEP, y, height, state, words: words.clone() };
            match day.as_ref().and_then(share_down) {
                None => bars.push(bar("unknown", HEIGHT - 4, 4)),
                Some(share) if share <= 0.0 => bars.push(bar("up", 10, HEIGHT - 10)),
                Some(share) => {
                    let down = height_down(share);
                    bars.push(bar("up", down, HEIGHT - down));
                    bars.push(bar("down", 0, down));
                }
            }
        }
        let Bars { words, .. } = Bars::of_days(figures, today, count);
        let down = figures.iter().rev().filter(|day| day.down_millis > 0);
        Self { words, width: days.len() * STEP, bars, down: down.map(DownDay::of).collect() }
    }
}

impl DownDay {
    fn of(day: &DayFigures) -> Self {
        Self {
            date: date(day.day.number()),
            down: span(Duration::from_millis(day.down_millis.into())),
            failures: format!("{} of {}", day.failures, day.probes),
        }
    }
}

/// Days as squares in columns of weeks.
#[derive(Clone, Debug)]
pub(super) struct Calendar {
    pub(super) words: String,
    pub(super) width: usize,
    pub(super) days: Vec<Square>,
}

/// A day of a calendar.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Square {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) size: usize,
    pub(super) state: &'static str,
    pub(super) words: String,
}

impl Calendar {
    pub(super) fn of(figures: &[DayFigures], today: Day, count: u32) -> Self {
        let days = latest(figures, today, count);
        let first = today.number().saturating_sub(count.saturating_sub(1));
        let week = |number: u32| usize::try_from((number + MONDAY) / 7).unwrap_or_default();
        let square = |(number, day): (u32, &Option<DayFigures>)| {
            // The size shows the same as the colour.
            let (state, size) = match day.as_ref().and_then(share_down) {
                None => ("unknown", 2),
                Some(share) if share <= 0.0 => ("up", 6),
                Some(_) => ("down", 9),
            };
            let inset = (CELL - size) / 2;
            let weekday = usize::try_from((number + MONDAY) % 7).unwrap_or_default();
            Square {
                x: (week(number) - week(first)) * CELL + inset,
                y: weekday * CELL + inset,
                size,
                state,
                words: day_in_words(number, day.as_ref()),
            }
        };
        let Bars { words, .. } = Bars::of_days(figures, today, count);
        let width = (week(today.number()) - week(first) + 1) * CELL;
        Self { words, width, days: (first..).zip(&days).map(square).collect() }
    }
}

fn day_in_words(number: u32, day: Option<&DayFigures>) -> String {
    let date = date(number);
    let Some((day, share)) = day.and_then(|day| Some((day, share_down(day)?))) else {
        return format!("{date}: no data");
    };
    let failed = match day.failures {
        0 => String::new(),
        failures => format!(", {failures} of {} probes failed", day.probes),
    };
    match share {
        ..=0.0 => format!("{date}: up{failed}"),
        _ => format!("{date}: down for {}{failed}", span(Duration::from_millis(day.down_millis.into()))),
    }
}

fn date(number: u32) -> String {
    let text = Utc::of_seconds(Day::from_number(number).start().seconds()).to_string();
    text.split(' ').next().unwrap_or_default().to_owned()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of the height")]
fn height_down(share: f64) -> usize {
    ((share * HEIGHT as f64).ceil() as usize).clamp(8, HEIGHT)
}

/// Number of outcomes that a target keeps.
const CAPACITY: usize = crate::board::History::CAPACITY;

const STEP: usize = 4;

const HEIGHT: usize = 32;

const PLOT_HEIGHT: u16 = 60;

/// Width and height of a day in the calendar.
const CELL: usize = 10;

/// 1970-01-01 was a Thursday, the fourth day of its week.
const MONDAY: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Class;

    #[test]
    fn every_outcome_has_its_words() {
        let recent = |failure, milliseconds| Recent { failure, duration: Duration::from_millis(milliseconds) };
        let outcomes = OutcomeBars::of(&[recent(Some(Class::Refused), 1), recent(None, 5)]);
        let words: Vec<_> = outcomes.bars.iter().map(|bar| (&*bar.words, bar.x, bar.state)).collect();
        assert_eq!(
            words,
            [
                ("2 probes ago: Connection refused after 1.00 ms", 232, "down"),
                ("last probe: succeeded in 5.00 ms", 236, "up")
            ]
        );
        assert_eq!(outcomes.words, "1 of the last 2 probes failed; the slowest took 5.00 ms");
        assert_eq!(OutcomeBars::of(&[]).words, "no probe yet");
    }

    #[test]
    fn every_day_has_its_words() {
        let day = |number, up_millis, down_millis, failures| DayFigures {
            day: Day::from_number(number),
            probes: 9,
            failures,
            up_millis,
            down_millis,
        };
        let today = Day::from_number(20_787);
        let days = DayBars::of(&[day(20_786, 5000, 65_000, 4), day(20_787, 9000, 0, 0)], today, 3);
        let words: Vec<_> = days.bars.iter().map(|bar| &*bar.words).collect();
        let down = "2026-11-29: down for 1 min 5 s, 4 of 9 probes failed";
        assert_eq!(words, ["2026-11-28: no data", down, down, "2026-11-30: up"]);
        assert_eq!(days.down[0].failures, "4 of 9");
        let calendar = Calendar::of(&[day(20_787, 9000, 0, 0)], today, 9);
        let last = calendar.days.last().unwrap();
        assert_eq!((last.x / CELL, last.y / CELL, last.state), (2, 0, "up"), "2026-11-30 is a Monday");
        assert_eq!(calendar.width, 30);
    }
}
