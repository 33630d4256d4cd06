//! The history of a group or target: outages, and the time up and down of each day.

use crate::board::{Day, DayFigures};
use crate::clock::Timestamp;

/// A time in which something was down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Outage {
    pub(super) began: Timestamp,
    /// `None` while it lasts.
    pub(super) ended: Option<Timestamp>,
    /// Whether it began with a change from up. A target that was never seen up has no incident.
    pub(super) is_incident: bool,
}

/// The history of one target.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    pub(super) days: Vec<DayFigures>,
    pub(super) outages: Vec<Outage>,
}

/// The time up and down of a day, in milliseconds. The rest is unknown.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Share {
    pub(super) day: Day,
    pub(super) up_millis: u64,
    pub(super) down_millis: u64,
}

/// Returns the times in which more than `tolerated` of the members were down, the earliest first.
pub(super) fn outages(members: &[History], tolerated: usize) -> Vec<Outage> {
    // The outage that begins; `None` if one ends. Where one begins as another ends, there is no gap.
    let mut changes: Vec<(Timestamp, Option<&Outage>)> = Vec::new();
    for outage in members.iter().flat_map(|member| &member.outages) {
        changes.push((outage.began, Some(outage)));
        changes.extend(outage.ended.map(|ended| (ended, None)));
    }
    changes.sort_by_key(|(at, begun)| (*at, begun.is_none()));
    let (mut down, mut found): (usize, Vec<Outage>) = (0, Vec::new());
    for (at, begun) in changes {
        let was_down = down > tolerated;
        down = if begun.is_some() { down + 1 } else { down.saturating_sub(1) };
        match (was_down, begun) {
            (false, Some(begun)) if down > tolerated => found.push(Outage { ended: None, ..*begun }),
            (true, None) if down <= tolerated => {
                found.last_mut().into_iter().for_each(|outage| outage.ended = Some(at));
            }
            _ => {}
        }
    }
    found.retain(|outage| outage.ended != Some(outage.began));
    found
}

/// Returns the shares of the days from `since` to `today`.
///
/// Those of a single member are its figures. Those of several are known as long as any member was, and down in their common
/// `outages`.
pub(super) fn shares(members: &[History], outages: &[Outage], since: Day, today: Day, now: Timestamp) -> Vec<Share> {
    let days = since.number()..=today.number();
    days.map(Day::from_number)
        .map(|day| {
            let of_day = |member: &History| member.days.iter().find(|figures| figures.day == day).copied();
            if let [_] = members {
                let DayFigures { up_millis, down_millis, .. } = members.iter().find_map(of_day).unwrap_or_default();
                return Share { day, up_millis: up_millis.into(), down_millis: down_millis.into() };
            }
            let known = members
                .iter()
                .filter_map(of_day)
                .map(|figures| u64::from(figures.up_millis) + u64::from(figures.down_millis))
                .max()
                .unwrap_or_default();
            let down = outages
                .iter()
                .map(|outage| millis_within(outage, day, now))
                .sum::<u64>()
                .min(known);
            Share { day, up_millis: known - down, down_millis: down }
        })
        .collect()
}

/// Returns the part of known time up, in percent, rounded down; `None` if nothing is known.
pub(super) fn uptime_percent(shares: &[Share]) -> Option<f64> {
    let up: u64 = shares.iter().map(|share| share.up_millis).sum();
    let down: u64 = shares.iter().map(|share| share.down_millis).sum();
    let hundredths = up.saturating_mul(10_000).checked_div(up + down)?;
    // 99.999 percent are not all.
    Some(hundredths as f64 / 100.0)
}

fn millis_within(outage: &Outage, day: Day, now: Timestamp) -> u64 {
    let millis = |at: Timestamp| u64::try_from(at.as_duration().as_millis()).unwrap_or(u64::MAX);
    let next = Day::from_number(day.number().saturating_add(1));
    let begin = millis(outage.began.max(day.start()));
    let end = millis(outage.ended.unwrap_or(now).min(next.start()));
    end.saturating_sub(begin)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::since_epoch(Duration::from_secs(seconds))
    }

    fn history(outages: &[(u64, Option<u64>)]) -> History {
        let outages =
            outages
                .iter()
                .map(|(began, ended)| Outage { began: at(*began), ended: ended.map(at), is_incident: true });
        History { outages: outages.collect(), days: Vec::new() }
    }

    #[test]
    fn a_group_is_down_once_too_many_are() {
        let members = [
            history(&[(10, Some(20)), (30, Some(40)), (100, None)]),
            history(&[(15, Some(35)), (40, Some(50))]),
            history(&[(90, Some(110)), (120, None)]),
        ];
        for (tolerated, expected) in [
            (0, &[(10, Some(50)), (90, None)][..]),
            (1, &[(15, Some(20)), (30, Some(35)), (100, Some(110)), (120, None)]),
            (2, &[]),
        ] {
            let found: Vec<_> = outages(&members, tolerated)
                .into_iter()
                .map(|Outage { began, ended, .. }| (began.seconds(), ended.map(Timestamp::seconds)))
                .collect();
            assert_eq!(found, expected, "{tolerated}");
        }
    }

    #[test]
    fn days_of_a_group_are_cut_at_midnight() {
        const DAY: u64 = 86_400;
        let figures = |day, up_seconds: u32| DayFigures {
            day: Day::from_number(day),
            up_millis: up_seconds * 1000,
            ..DayFigures::default()
        };
        let known = |days: &[DayFigures]| History { days: days.to_vec(), outages: Vec::new() };
        let members = [known(&[figures(1, 86_400), figures(2, 600)]), known(&[figures(1, 100)])];
        let outages = [Outage { began: at(2 * DAY - 60), ended: None, is_incident: true }];
        let shares = shares(&members, &outages, Day::from_number(0), Day::from_number(2), at(2 * DAY + 600));
        let seen: Vec<_> = shares
            .iter()
            .map(|share| (share.up_millis / 1000, share.down_millis / 1000))
            .collect();
        assert_eq!(seen, [(0, 0), (86_340, 60), (0, 600)]);
        assert_eq!(uptime_percent(&shares), Some(99.24));
        assert_eq!(uptime_percent(&shares[..1]), None);
    }

    #[test]
    fn an_outage_is_never_rounded_away() {
        let share = Share { up_millis: 90 * 86_400_000, down_millis: 1, ..Share::default() };
        assert_eq!(uptime_percent(&[share]), Some(99.99));
    }
}
