//! One outcome as lines for a person: each phase with its time, then the verdict and what to make of it.

use std::fmt::{self, Display};
use std::net::IpAddr;
use std::time::Duration;

use super::advice::{self, Advice};
use crate::duration;
use crate::outcome::{Attempt, Outcome, Phase, Verdict};
use crate::target::{AddressMode, Target};

/// An outcome that displays itself as lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeline<'a> {
    pub(super) target: &'a Target,
    pub(super) outcome: &'a Outcome,
    pub(super) palette: Palette,
}

/// Whether lines have colours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Palette {
    /// ANSI colours, for a terminal.
    Colours,
    /// None, for a pipe.
    Plain,
}

impl Display for Timeline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = self.target;
        writeln!(f, "{}", self.paint(BOLD, &target.endpoint))?;
        if target.name.as_str() != target.endpoint.to_string() {
            writeln!(f, "  {:<9}{}", "name", target.name)?;
        }
        self.resolve(f)?;
        self.connect(f)?;
        writeln!(f)?;
        self.verdict(f)
    }
}

impl Timeline<'_> {
    fn resolve(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.outcome.resolution.iter().flat_map(|resolution| &resolution.addresses);
        let addresses = addresses.map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match (&self.outcome.verdict, self.outcome.timings.of(Phase::Resolve)) {
            // No other step was reached: the whole time is that of this one.
            (Verdict::Failed(failure), _) if failure.phase == Phase::Resolve => {
                let class = self.paint(RED, failure.class.as_str());
                let seen = if addresses.is_empty() { class } else { format!("{addresses}  {class}") };
                step(f, Phase::Resolve, self.outcome.duration, seen)
            }
            (_, Some(took)) => step(f, Phase::Resolve, took, addresses),
            (_, None) => Ok(()),
        }
    }

    fn connect(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempts = &self.outcome.attempts;
        let width = attempts.iter().map(|attempt| attempt.address.to_string().len()).max().unwrap_or_default();
        for attempt in attempts {
            // The kernel's time where there was a handshake, else how long it was until that was clear.
            let took = attempt.timings.of(Phase::Connect).unwrap_or(attempt.duration);
            let result = self.result(attempt);
            step(f, Phase::Connect, took, format_args!("{:width$}  {result}", attempt.address))?;
        }
        Ok(())
    }

    /// What came of one address. The details stand once: those of the address that decided, in the verdict.
    fn result(&self, attempt: &Attempt) -> String {
        let told = attempt.verdict == self.outcome.verdict;
        let and = |detail: &str| if told { String::new() } else { format!(": {detail}") };
        let result = match &attempt.verdict {
            Verdict::Failed(failure) => {
                format!("{}{}", self.paint(RED, failure.class.as_str()), and(&failure.detail))
            }
            Verdict::Good if attempt.timings.of(Phase::Connect).is_none() => {
                let expect = self.target.settings.exchange.expect();
                format!("{}, as expected", self.paint(GREEN, expect.as_str()))
            }
            Verdict::Good => self.paint(GREEN, "open"),
            Verdict::LocalFault(fault) => {
                format!("{}{}", self.paint(YELLOW, fault.reason.as_str()), and(&fault.detail))
            }
        };
        match attempt.syn_retransmits {
            0 => result,
            1 => format!("{result}; 1 SYN was lost and sent again"),
            count => format!("{result}; {count} SYNs were lost and sent again"),
        }
    }

    fn verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = milliseconds(self.outcome.duration);
        match &self.outcome.verdict {
            Verdict::Good => self.good(f, &took),
            Verdict::Failed(failure) => {
                let (class, phase) = (failure.class.as_str(), failure.phase.as_str());
                writeln!(f, "{} in {phase} after {took}: {}", self.paint(RED, class), failure.detail)?;
                self.of_all(f)?;
                advise(f, &advice::on_failure(failure, self.target, self.decisive()))
            }
            Verdict::LocalFault(fault) => {
                let reason = fault.reason.as_str();
                writeln!(f, "{} after {took}: {reason}: {}", self.paint(YELLOW, "local fault"), fault.detail)?;
                self.of_all(f)?;
                advise(f, &advice::on_local_fault(fault.reason, self.target))
            }
        }
    }

    fn good(&self, f: &mut fmt::Formatter<'_>, took: &str) -> fmt::Result {
        let slow_after = self.target.settings.slow_after.filter(|limit| self.outcome.duration >= *limit);
        match slow_after {
            None => writeln!(f, "{} in {took}", self.paint(GREEN, "good"))?,
            Some(limit) => {
                let (good, slow) = (self.paint(GREEN, "good"), self.paint(YELLOW, "slow"));
                writeln!(f, "{good} in {took}, but {slow}: slow_after is {}", duration::display(limit))?;
            }
        }
        let lost = self.outcome.attempts.iter().any(|attempt| attempt.syn_retransmits > 0);
        if lost { advise(f, &advice::on_lost_syns(self.target)) } else { Ok(()) }
    }

    /// Where each of several addresses must be good, how many are.
    fn of_all(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempts = &self.outcome.attempts;
        if self.target.settings.addressing.mode == AddressMode::Any || attempts.len() < 2 {
            return Ok(());
        }
        let good = attempts.iter().filter(|attempt| attempt.verdict.is_good()).count();
        writeln!(f, "  all      {good} of {} addresses good, and every one must be", attempts.len())
    }

    /// The address that the verdict is of.
    fn decisive(&self) -> Option<IpAddr> {
        let attempt = self.outcome.attempts.iter().find(|attempt| attempt.verdict == self.outcome.verdict);
        attempt.map(|attempt| attempt.address)
    }

    fn paint(&self, colour: &str, text: impl Display) -> String {
        match self.palette {
            Palette::Colours => format!("{colour}{text}{RESET}"),
            Palette::Plain => text.to_string(),
        }
    }
}

/// One line of the timeline: phase, how long it took or how long it was until it failed, what was seen.
fn step(f: &mut fmt::Formatter<'_>, phase: Phase, took: Duration, seen: impl Display) -> fmt::Result {
    writeln!(f, "  {:<9}{:>12}  {seen}", phase.as_str(), milliseconds(took))
}

fn advise(f: &mut fmt::Formatter<'_>, advice: &Advice) -> fmt::Result {
    writeln!(f, "  meaning  {}", advice.meaning)?;
    writeln!(f, "  try      {}", advice.remedy)
}

/// Milliseconds with three decimals: a handshake in the same rack takes fractions of one.
fn milliseconds(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_secs_f64() * 1000.0)
}

const BOLD: &str = "\x1b[1m";
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const RESET: &str = "\x1b[0m";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::outcome::{Class, Facts, Failure, Resolution, Timings};

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn printed(url: &str, flags: &[(&str, &str)], outcome: &Outcome) -> String {
        let flags: Vec<_> = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let target = config::one_target(
            config::Wanted { target: url, flags: &flags, config_file: None, module: None },
            &|_| None,
            |_| Ok(()),
        )
        .unwrap()
        .target;
        Timeline { target: &target, outcome, palette: Palette::Plain }.to_string()
    }

    fn failed(class: Class, detail: &str) -> Verdict {
        Verdict::Failed(Failure { phase: Phase::Connect, class, detail: detail.into() })
    }

    fn attempt(last: u8, verdict: Verdict) -> Attempt {
        let timings =
            if verdict.is_good() { Timings::default().with(Phase::Connect, MILLISECOND) } else { Timings::default() };
        Attempt {
            address: [192, 0, 2, last].into(),
            verdict,
            duration: 8 * MILLISECOND,
            timings,
            syn_retransmits: 0,
            facts: Facts::default(),
        }
    }

    /// Ten milliseconds in all, two of them for a name.
    fn outcome(verdict: Verdict, attempts: Vec<Attempt>) -> Outcome {
        let addresses = attempts.iter().map(|attempt| attempt.address).collect();
        Outcome {
            verdict,
            duration: 10 * MILLISECOND,
            timings: Timings::default().with(Phase::Resolve, 2 * MILLISECOND),
            resolution: Some(Resolution { addresses }),
            attempts,
            facts: Facts::default(),
            client_certificate_not_after: None,
        }
    }

    #[track_caller]
    fn assert_lines(printed: &str, expected: &[&str]) {
        for line in expected {
            assert!(printed.lines().any(|printed| printed == *line), "{line:?} is not in\n{printed}");
        }
    }

    #[test]
    fn a_failed_step_has_the_time_it_took_and_its_details_once() {
        let verdict = failed(Class::Refused, "because");
        let outcome = outcome(verdict.clone(), vec![attempt(1, verdict)]);
        let printed = printed("a.test:1", &[], &outcome);
        let expected = [
            "  resolve      2.000 ms  192.0.2.1",
            "  connect      8.000 ms  192.0.2.1  refused",
            "refused in connect after 10.000 ms: because",
        ];
        assert_lines(&printed, &expected);
        assert_eq!(printed.matches("because").count(), 1, "{printed}");
    }

    #[test]
    fn addresses_tried_in_turn_tell_what_kept_each() {
        let first = attempt(1, failed(Class::Timeout, "silence"));
        let good = outcome(Verdict::Good, vec![first.clone(), attempt(20, Verdict::Good)]);
        let expected = [
            "  connect      8.000 ms  192.0.2.1   timeout: silence",
            "  connect      1.000 ms  192.0.2.20  open",
            "good in 10.000 ms",
        ];
        assert_lines(&printed("a.test:1", &[], &good), &expected);
        let last = failed(Class::Refused, "no");
        let bad = outcome(last.clone(), vec![first, attempt(20, last)]);
        let expected = [
            "  connect      8.000 ms  192.0.2.1   timeout: silence",
            "  connect      8.000 ms  192.0.2.20  refused",
            "refused in connect after 10.000 ms: no",
        ];
        assert_lines(&printed("a.test:1", &[], &bad), &expected);
    }

    #[test]
    fn of_addresses_that_must_all_be_good_it_says_how_many_are() {
        let worst = failed(Class::Refused, "no");
        let outcome = outcome(worst.clone(), vec![attempt(1, Verdict::Good), attempt(2, worst)]);
        let expected = [
            "  connect      1.000 ms  192.0.2.1  open",
            "  connect      8.000 ms  192.0.2.2  refused",
            "  all      1 of 2 addresses good, and every one must be",
        ];
        assert_lines(&printed("a.test:1", &[("addresses", "all")], &outcome), &expected);
    }

    #[test]
    fn lost_syns_and_slowness_are_told_of_a_good_probe() {
        let attempt = Attempt { syn_retransmits: 2, ..attempt(1, Verdict::Good) };
        let outcome = outcome(Verdict::Good, vec![attempt]);
        let expected = [
            "  connect      1.000 ms  192.0.2.1  open; 2 SYNs were lost and sent again",
            "good in 10.000 ms, but slow: slow_after is 10ms",
        ];
        let printed = printed("a.test:1", &[("slow_after", "10ms")], &outcome);
        assert_lines(&printed, &expected);
        assert!(printed.contains("  meaning  packets are lost on the way"), "{printed}");
    }

    #[test]
    fn a_name_that_fails_takes_the_whole_time() {
        let verdict = Verdict::Failed(Failure { phase: Phase::Resolve, class: Class::DnsError, detail: "no".into() });
        let failed = Outcome { resolution: None, timings: Timings::default(), ..outcome(verdict, Vec::new()) };
        assert_lines(&printed("a.test:1", &[], &failed), &["  resolve     10.000 ms  dns_error"]);
    }

    #[test]
    fn a_port_that_should_be_closed_is_as_expected() {
        let closed = Attempt { timings: Timings::default(), ..attempt(1, Verdict::Good) };
        let outcome = outcome(Verdict::Good, vec![closed]);
        let expected = ["  connect      8.000 ms  192.0.2.1  refused, as expected"];
        assert_lines(&printed("a.test:1", &[("expect", "refused")], &outcome), &expected);
    }
}
