//! Tries the addresses of a target, one after another or all at once, and derives one result from theirs.
//!
//! A result on one address is whether its connect came to what the target's settings expect and, where that is a
//! connection, what the exchange on it came to. Over several addresses an attempt that was never made, for a fault of
//! this machine, is neither good nor bad but unknown: it decides nothing that the others have not decided, and leaves
//! the whole unknown where it could have.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::exchange::connection::Stream;
use super::exchange::{Exchanged, exchange};
use super::plan::Plan;
use super::tcp::errno::Ending;
use super::tcp::{Connection, Unconnected, connect};
use crate::outcome::{Attempt, Class, Facts, Fault, Phase, Timings, TlsFacts};
use crate::target::{AddressMode, Expect};
use crate::tasks::resume_panic;

/// What the addresses came to.
pub(super) struct Attempted {
    /// Each address that was tried, in order.
    pub(super) attempts: Vec<Attempt>,
    /// The result for the target.
    pub(super) result: Result<(), Fault>,
    /// The phases completed with the decisive address.
    pub(super) timings: Timings,
    /// What peers showed of themselves.
    pub(super) facts: Facts,
    /// When that was known.
    pub(super) ended: Instant,
    /// Still open: closing it is no part of what is timed.
    pub(super) open: Option<Stream>,
}

/// Tries the destinations in the manner that the settings ask for. Ends by `deadline`.
pub(super) async fn attempt(destinations: Vec<SocketAddr>, plan: &Plan, deadline: Instant) -> Attempted {
    match plan.target.settings.addressing.mode {
        AddressMode::All => Box::pin(all(destinations, plan, deadline)).await,
        AddressMode::Any => any(&destinations, plan, deadline).await,
    }
}

/// One after the other, each but the last with an equal share of the time left, until one connects.
async fn any(destinations: &[SocketAddr], plan: &Plan, deadline: Instant) -> Attempted {
    let mut attempts = Vec::with_capacity(destinations.len());
    let (mut open, mut ended) = (None, Instant::now());
    for (remote, left) in destinations.iter().zip((1..=destinations.len()).rev()) {
        let tried = try_address(*remote, plan, share(deadline, left), deadline).await;
        attempts.push(tried.attempt);
        (open, ended) = (tried.open, tried.ended);
        if open.is_some() {
            break;
        }
    }
    let decisive = if open.is_some() { attempts.last() } else { decisive_of_unconnected(&attempts) };
    let (result, timings) = conclusion(decisive);
    let facts = decisive.map(|attempt| attempt.facts.clone()).unwrap_or_default();
    Attempted { attempts, result, timings, facts, ended, open }
}

/// Every address at once, each with the whole time; of more than [`AT_ONCE`] the rest as soon as others have ended, for
/// whoever answers for the name decides how many there are.
async fn all(destinations: Vec<SocketAddr>, plan: &Plan, deadline: Instant) -> Attempted {
    let mut running = JoinSet::new();
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut attempts = Vec::with_capacity(destinations.len());
    let mut ended = Instant::now();
    for (index, remote) in destinations.into_iter().enumerate() {
        let (plan, turns) = (plan.clone(), turns.clone());
        running.spawn(async move {
            let _turn = turns.acquire().await;
            let tried = try_address(remote, &plan, deadline, deadline).await;
            if let Some(open) = tried.open {
                open.close(deadline).await;
            }
            (index, tried.attempt, tried.ended)
        });
    }
    while let Some(finished) = running.join_next().await {
        match finished {
            Ok((index, attempt, known)) => {
                attempts.push((index, attempt));
                ended = ended.max(known);
            }
            // Cancelled is one only by a dropped set, and then nobody is here to see it.
            Err(failed) => resume_panic(failed),
        }
    }
    attempts.sort_unstable_by_key(|(index, _)| *index);
    let attempts: Vec<_> = attempts.into_iter().map(|(_, attempt)| attempt).collect();
    let decisive = decisive_of_all(&attempts);
    let (result, timings) = conclusion(decisive);
    let dialogue = decisive.and_then(|attempt| attempt.facts.dialogue.clone());
    let service = decisive.and_then(|attempt| attempt.facts.service.clone());
    let facts = Facts { tls: worst_tls(&attempts).cloned(), dialogue, service };
    Attempted { attempts, result, timings, facts, ended, open: None }
}

/// The attempt that decides if none connected: the first that this machine could not make, because it might have
/// connected; otherwise the last.
fn decisive_of_unconnected(attempts: &[Attempt]) -> Option<&Attempt> {
    attempts.iter().find(|attempt| matches!(attempt.result, Err(Fault::LocalFault(_)))).or_else(|| attempts.last())
}

/// The attempt that decides where each must be good, the worst: of those that failed the one that came least far, and
/// of several of these the one whose certificate is the [`worst_of`] all, so that the failure is one of the certificate
/// that is shown; else the first that could not be made; else the slowest.
fn decisive_of_all(attempts: &[Attempt]) -> Option<&Attempt> {
    let failed = |attempt: &Attempt| match &attempt.result {
        Err(Fault::Failure(failure)) => Some(failure.phase),
        Ok(()) | Err(Fault::LocalFault(_)) => None,
    };
    let least_far = attempts.iter().filter_map(failed).min();
    least_far
        .and_then(|phase| worst_of(attempts.iter().filter(|attempt| failed(attempt) == Some(phase))))
        .or_else(|| attempts.iter().find(|attempt| matches!(attempt.result, Err(Fault::LocalFault(_)))))
        .or_else(|| attempts.iter().max_by_key(|attempt| attempt.timings.of(Phase::Connect)))
}

fn conclusion(decisive: Option<&Attempt>) -> (Result<(), Fault>, Timings) {
    let attempt = decisive.expect("there must be an address, for resolving ends with one or fails");
    (attempt.result.clone(), attempt.timings)
}

/// The end of an equal share of the time that is left.
pub(super) fn share(deadline: Instant, left: usize) -> Instant {
    let now = Instant::now();
    let left = u32::try_from(left).unwrap_or(u32::MAX).max(1);
    now + deadline.saturating_duration_since(now) / left
}

/// What is shown of TLS where each address must be good: that of the [`worst_of`] all.
fn worst_tls(attempts: &[Attempt]) -> Option<&TlsFacts> {
    worst_of(attempts.iter().filter(|attempt| attempt.facts.tls.is_some()))?.facts.tls.as_ref()
}

/// The attempt that showed the worst certificate: the one with the weightiest fault; among those without one that which
/// expires first, so that what is shown does not change with the speed of the addresses; of equals the first.
fn worst_of<'a>(attempts: impl Iterator<Item = &'a Attempt>) -> Option<&'a Attempt> {
    attempts.min_by_key(|attempt| {
        let peer = attempt.facts.tls.as_ref().and_then(|facts| facts.peer.as_ref());
        let fault = peer.and_then(|peer| peer.faults.first()).map(|fault| Reverse(fault.class.weight()));
        let expiry = peer.and_then(|peer| peer.leaf.content.as_ref()).map_or(i64::MAX, |content| content.not_after);
        (peer.is_none(), fault.is_none(), fault, expiry)
    })
}

struct Tried {
    attempt: Attempt,
    ended: Instant,
    /// The connection, where there was one.
    open: Option<Stream>,
}

/// Connects by `connect_by` and, where that came to what it should, goes on until `deadline`.
async fn try_address(remote: SocketAddr, plan: &Plan, connect_by: Instant, deadline: Instant) -> Tried {
    let started = Instant::now();
    let settings = &plan.target.settings;
    let expect = settings.probe_kind.expect();
    let connected = connect(remote, settings.source_address, connect_by).await;
    let is_open = connected.is_ok();
    let (exchanged, syn_retransmits) = match connected {
        Ok(Connection { handshake, syn_retransmits, stream }) if expect == Expect::Open => {
            let exchanged = exchange(stream, plan, deadline).await;
            let timings = Timings::default().with(Phase::Connect, handshake).and(exchanged.timings);
            (Exchanged { timings, ..exchanged }, syn_retransmits)
        }
        Ok(Connection { syn_retransmits, stream, .. }) => {
            (Exchanged::silent(Err(unexpectedly_open(remote, expect)), stream), syn_retransmits)
        }
        Err(unconnected) => {
            (Exchanged::nothing_said(judge_failure(&unconnected, expect), Stream::Gone), unconnected.syn_retransmits)
        }
    };
    let ended = Instant::now();
    let duration = ended.saturating_duration_since(started);
    let Exchanged { result, timings, facts, stream, transcript } = exchanged;
    let attempt = Attempt { address: remote.ip(), result, duration, timings, syn_retransmits, facts, transcript };
    Tried { attempt, ended, open: is_open.then_some(stream) }
}

fn unexpectedly_open(remote: SocketAddr, expect: Expect) -> Fault {
    let detail = format!("{remote} accepted the connection, but should be {}", expect.as_str());
    Fault::failure(Phase::Connect, Class::UnexpectedOpen, detail)
}

fn judge_failure(unconnected: &Unconnected, expect: Expect) -> Result<(), Fault> {
    let detail = || unconnected.detail.clone();
    let class = match unconnected.ending {
        Ending::Local(reason) => return Err(Fault::local(reason, detail())),
        Ending::Answered(class) if satisfies(class, expect) => return Ok(()),
        Ending::Answered(class) | Ending::Unsent(class) => class,
    };
    let detail = match expect {
        Expect::Open => detail(),
        Expect::Closed | Expect::Filtered | Expect::Refused => {
            format!("{}; expected: {}", unconnected.detail, expect.as_str())
        }
    };
    Err(Fault::failure(Phase::Connect, class, detail))
}

/// Whether what came back after a SYN, or did not, is what was expected.
fn satisfies(class: Class, expect: Expect) -> bool {
    match expect {
        Expect::Open => false,
        Expect::Refused => class == Class::Refused,
        Expect::Filtered => matches!(class, Class::Timeout | Class::Unreachable),
        Expect::Closed => matches!(class, Class::Refused | Class::Timeout | Class::Unreachable),
    }
}

/// Addresses of one name that are tried at a time: more than any well-meant name has.
const AT_ONCE: usize = 64;

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::*;
    use crate::outcome::{LocalFaultReason, example_facts};
    use crate::target::Verify;

    const ALL: [Expect; 4] = [Expect::Open, Expect::Refused, Expect::Filtered, Expect::Closed];

    fn unconnected(ending: Ending) -> Unconnected {
        Unconnected { ending, detail: "x".into(), syn_retransmits: 0 }
    }

    #[test]
    fn each_ending_satisfies_only_what_expects_it() {
        use Expect::{Closed, Filtered, Refused};
        for (ending, satisfied) in [
            (Ending::Answered(Class::Refused), &[Refused, Closed][..]),
            (Ending::Answered(Class::Timeout), &[Filtered, Closed]),
            (Ending::Answered(Class::Unreachable), &[Filtered, Closed]),
            (Ending::Unsent(Class::Unreachable), &[]),
            (Ending::Unsent(Class::Timeout), &[]),
        ] {
            for expect in ALL {
                let result = judge_failure(&unconnected(ending), expect);
                assert_eq!(result.is_ok(), satisfied.contains(&expect), "{ending:?} {expect:?}");
                assert!(!matches!(result, Err(Fault::LocalFault(_))));
            }
        }
    }

    #[test]
    fn a_local_fault_is_one_whatever_is_expected() {
        for expect in ALL {
            let result = judge_failure(&unconnected(Ending::Local(LocalFaultReason::NoPort)), expect);
            assert!(matches!(result, Err(Fault::LocalFault(_))), "{expect:?}");
        }
    }

    /// Attempts by letter: (g)ood, (f)ailed, (l)ocal fault; their place is in the address and in the timing.
    fn attempts(letters: &str) -> Vec<Attempt> {
        let attempt = |(index, letter)| {
            let index = u8::try_from(index).unwrap();
            let good = Timings::default().with(Phase::Connect, Duration::from_millis(u64::from(index)));
            let (result, timings) = match letter {
                'g' => (Ok(()), good),
                'f' => (judge_failure(&unconnected(Ending::Unsent(Class::Timeout)), Expect::Open), Timings::default()),
                _ => {
                    let ending = Ending::Local(LocalFaultReason::NoPort);
                    (judge_failure(&unconnected(ending), Expect::Open), Timings::default())
                }
            };
            let duration = Duration::ZERO;
            let address = [192, 0, 2, index].into();
            Attempt {
                address,
                result,
                duration,
                timings,
                syn_retransmits: 0,
                facts: Facts::default(),
                transcript: None,
            }
        };
        letters.chars().enumerate().map(attempt).collect()
    }

    fn place(attempt: Option<&Attempt>) -> u8 {
        match attempt.unwrap().address {
            IpAddr::V4(v4) => v4.octets()[3],
            IpAddr::V6(_) => panic!("no such attempt"),
        }
    }

    #[test]
    fn of_all_the_worst_decides() {
        for (letters, expected) in [("ggg", 2), ("gff", 1), ("lgf", 2), ("glg", 1), ("fl", 0), ("l", 0)] {
            assert_eq!(place(decisive_of_all(&attempts(letters))), expected, "{letters}");
        }
    }

    /// An attempt whose certificate has these faults, the first of which failed it unless they are only reported.
    fn showing(index: u8, verify: Verify, faults: &[Class]) -> Attempt {
        let facts = Facts { tls: Some(example_facts(index, faults)), dialogue: None, service: None };
        let fault = faults.first().filter(|_| verify == Verify::Strict);
        let result = fault.map_or(Ok(()), |class| Err(Fault::failure(Phase::Tls, *class, index.to_string())));
        let (address, duration, timings) = ([192, 0, 2, index].into(), Duration::ZERO, Timings::default());
        Attempt { address, result, duration, timings, syn_retransmits: 0, facts, transcript: None }
    }

    #[test]
    fn the_failure_is_one_of_the_certificate_that_is_shown() {
        let shown = |attempts: &[Attempt]| worst_tls(attempts).unwrap().peer.as_ref().unwrap().leaf.fingerprint;
        for faults in [
            &[&[Class::CertUntrusted][..], &[Class::CertExpired]][..],
            &[&[Class::CertExpired], &[Class::CertUntrusted, Class::CertInvalid]],
            &[&[], &[Class::CertInvalid], &[Class::CertNameMismatch], &[Class::CertNameMismatch]],
        ] {
            let attempts: Vec<_> =
                (0..).zip(faults).map(|(index, faults)| showing(index, Verify::Strict, faults)).collect();
            let worst = place(decisive_of_all(&attempts));
            assert_eq!(shown(&attempts).as_bytes(), &[worst; 32], "{faults:?}");
        }
        // Whoever does not even connect shows nothing, and is worse.
        let mut attempts = vec![showing(0, Verify::Strict, &[Class::CertExpired]), attempts("lf").remove(1)];
        assert_eq!(place(decisive_of_all(&attempts)), 1);
        assert_eq!(shown(&attempts).as_bytes(), &[0; 32]);
        attempts.insert(0, showing(7, Verify::Report, &[Class::CertUntrusted]));
        assert_eq!(place(decisive_of_all(&attempts)), 1);
    }

    #[test]
    fn the_last_failure_decides_unless_one_is_local() {
        for (letters, expected) in [("ff", 1), ("lf", 0), ("flf", 1)] {
            assert_eq!(place(decisive_of_unconnected(&attempts(letters))), expected, "{letters}");
        }
    }
}
