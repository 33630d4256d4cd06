//! Tries the addresses of a target, one after another or all at once, and combines their results.
//!
//! The result of an address is a failure if its connect did not end as the settings expect, otherwise the result of the
//! exchange on its connection. An attempt that this machine could not make is neither a success nor a failure: it does
//! not change a result that other addresses decide, but makes a result unknown that it could have decided.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::exchange::connection::Connection;
use super::exchange::{Exchanged, exchange};
use super::plan::Plan;
use super::tcp::errno::ConnectError;
use super::tcp::{ConnectFailed, Connected, connect};
use crate::loop_lag::Watch;
use crate::outcome::{Attempt, Class, Facts, Failure, Fault, Phase, Timings, TlsFacts};
use crate::target::{AddressMode, Expect};
use crate::tasks::resume_panic;

/// The result of all addresses.
pub(super) struct Attempted {
    /// Each address that was tried, in order.
    pub(super) attempts: Vec<Attempt>,
    /// The combined result.
    pub(super) result: Result<(), Fault>,
    /// The phases completed with the address that decided the result.
    pub(super) timings: Timings,
    /// Facts about the peers.
    pub(super) facts: Facts,
    /// When the result was known, without the close.
    pub(super) ended: Instant,
    /// The open connection, which the caller closes after the measured time.
    pub(super) open: Option<Connection>,
}

/// Tries the destinations, one after another or all at once. Ends by `deadline`.
pub(super) async fn attempt(destinations: Vec<SocketAddr>, plan: &Plan, deadline: Instant) -> Attempted {
    match plan.target.settings.addressing.mode {
        AddressMode::All => Box::pin(all(destinations, plan, deadline)).await,
        AddressMode::Any => any(&destinations, plan, deadline).await,
    }
}

/// Tries one after another until one connects. Each except the last gets an equal share of the remaining time.
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

/// Tries all at once, each with the whole time. Since a name server can return any number of addresses, the number of
/// those that are tried at the same time is limited.
async fn all(destinations: Vec<SocketAddr>, plan: &Plan, deadline: Instant) -> Attempted {
    let mut running = JoinSet::new();
    let turns = Arc::new(Semaphore::new(plan.at_once.into()));
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
            // The set is alive, so none of its tasks was cancelled.
            Err(failed) => resume_panic(failed),
        }
    }
    attempts.sort_unstable_by_key(|(index, _)| *index);
    let attempts: Vec<_> = attempts.into_iter().map(|(_, attempt)| attempt).collect();
    let decisive = decisive_of_all(&attempts);
    let (result, timings) = conclusion(decisive);
    let dialogue = decisive.and_then(|attempt| attempt.facts.dialogue.clone());
    let service = decisive.and_then(|attempt| attempt.facts.service.clone());
    let response = decisive.and_then(|attempt| attempt.facts.response.clone());
    let facts = Facts { tls: worst_tls(&attempts).cloned(), dialogue, service, response };
    Attempted { attempts, result, timings, facts, ended, open: None }
}

/// Returns the attempt that decides if none connected: the first that this machine could not make, because it might
/// have connected; otherwise the last.
fn decisive_of_unconnected(attempts: &[Attempt]) -> Option<&Attempt> {
    attempts
        .iter()
        .find(|attempt| matches!(attempt.result, Err(Fault::LocalFault(_))))
        .or_else(|| attempts.last())
}

/// Returns the attempt that decides if all must succeed, which is the worst:
///
/// - the one that failed in the earliest phase; among several the [`worst_of`] them, so that the failure concerns the
///   certificate that is displayed;
/// - otherwise the first that this machine could not make;
/// - otherwise the slowest.
fn decisive_of_all(attempts: &[Attempt]) -> Option<&Attempt> {
    let failed = |attempt: &Attempt| match &attempt.result {
        Err(Fault::Failure(failure)) => Some(failure.phase),
        Ok(()) | Err(Fault::LocalFault(_)) => None,
    };
    let earliest = attempts.iter().filter_map(failed).min();
    earliest
        .and_then(|phase| worst_of(attempts.iter().filter(|attempt| failed(attempt) == Some(phase))))
        .or_else(|| {
            attempts
                .iter()
                .find(|attempt| matches!(attempt.result, Err(Fault::LocalFault(_))))
        })
        .or_else(|| attempts.iter().max_by_key(|attempt| attempt.timings.of(Phase::Connect)))
}

fn conclusion(decisive: Option<&Attempt>) -> (Result<(), Fault>, Timings) {
    let attempt = decisive.expect("there must be an address, because resolving returns one or fails");
    (attempt.result.clone(), attempt.timings)
}

/// Returns the end of an equal share of the time until `deadline`, if `left` addresses are left.
pub(super) fn share(deadline: Instant, left: usize) -> Instant {
    let now = Instant::now();
    let left = u32::try_from(left).unwrap_or(u32::MAX).max(1);
    now + deadline.saturating_duration_since(now) / left
}

/// Returns the TLS facts to display if all must succeed: those of the [`worst_of`] the attempts that have any.
fn worst_tls(attempts: &[Attempt]) -> Option<&TlsFacts> {
    worst_of(attempts.iter().filter(|attempt| attempt.facts.tls.is_some()))?
        .facts
        .tls
        .as_ref()
}

/// Returns the attempt with the worst certificate: the one with the first fault in the order of [`Class`]; without
/// faults, the one that expires first. Among equal ones it is the first, so the result does not depend on the speed of
/// addresses.
fn worst_of<'a>(attempts: impl Iterator<Item = &'a Attempt>) -> Option<&'a Attempt> {
    attempts.min_by_key(|attempt| {
        let peer = attempt.facts.tls.as_ref().and_then(|facts| facts.peer.as_ref());
        let fault = peer.and_then(|peer| peer.faults.first()).map(|fault| fault.class);
        let expiry = peer
            .and_then(|peer| peer.leaf.content.as_ref())
            .map_or(i64::MAX, |content| content.not_after);
        (peer.is_none(), fault.is_none(), fault, expiry)
    })
}

struct Tried {
    attempt: Attempt,
    ended: Instant,
    /// The connection, if the address accepted one.
    open: Option<Connection>,
}

/// Connects by `connect_by` and, if the port is expected to be open, runs the exchange by `deadline`.
async fn try_address(remote: SocketAddr, plan: &Plan, connect_by: Instant, deadline: Instant) -> Tried {
    let watch = Watch::start(&plan.lag);
    let settings = &plan.target.settings;
    let expect = settings.probe_kind.expect();
    let connected = connect(remote, settings.source_address, connect_by).await;
    let is_open = connected.is_ok();
    let (exchanged, syn_retransmits) = match connected {
        Ok(Connected { handshake, syn_retransmits, socket }) if expect == Expect::Open => {
            let exchanged = exchange(socket, plan, deadline).await;
            let timings = Timings::default().with(Phase::Connect, handshake).and(exchanged.timings);
            (Exchanged { timings, ..exchanged }, syn_retransmits)
        }
        Ok(Connected { syn_retransmits, socket, .. }) => {
            (Exchanged::silent(Err(unexpectedly_open(remote, expect)), socket), syn_retransmits)
        }
        Err(failed) => {
            let result = connect_result(&failed, watch.expectation(&plan.lag, expect, failed.error));
            (Exchanged::nothing_said(result, Connection::Closed), failed.syn_retransmits)
        }
    };
    let ended = Instant::now();
    let duration = ended.saturating_duration_since(watch.started());
    let Exchanged { result, timings, facts, connection, transcript } = exchanged;
    let result = result.map_err(|fault| watch.judge(&plan.lag, deadline, fault));
    let attempt = Attempt { address: remote.ip(), result, duration, timings, syn_retransmits, facts, transcript };
    Tried { attempt, ended, open: is_open.then_some(connection) }
}

fn unexpectedly_open(remote: SocketAddr, expect: Expect) -> Fault {
    let detail = format!("{remote} accepted the connection, but should be {}", expect.as_str());
    Fault::failure(Phase::Connect, Class::UnexpectedOpen, detail)
}

fn connect_result(failed: &ConnectFailed, expect: Expect) -> Result<(), Fault> {
    match (&failed.error, failed.fault()) {
        (ConnectError::Answered(class), _) if satisfies(*class, expect) => Ok(()),
        (_, Fault::Failure(failure)) if expect != Expect::Open => {
            let detail = format!("{}; expected: {}", failure.detail, expect.as_str());
            Err(Fault::Failure(Failure { detail, ..failure }))
        }
        (_, fault) => Err(fault),
    }
}

/// Returns whether the answer to a SYN, or silence, is as expected.
fn satisfies(class: Class, expect: Expect) -> bool {
    match expect {
        Expect::Open => false,
        Expect::Refused => class == Class::Refused,
        Expect::Filtered => matches!(class, Class::Timeout | Class::Unreachable),
        Expect::Closed => matches!(class, Class::Refused | Class::Timeout | Class::Unreachable),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::*;
    use crate::outcome::{LocalFaultReason, example_facts};
    use crate::target::Verify;

    const ALL: [Expect; 4] = [Expect::Open, Expect::Refused, Expect::Filtered, Expect::Closed];

    fn failed(error: ConnectError) -> ConnectFailed {
        ConnectFailed { error, detail: "x".into(), syn_retransmits: 0 }
    }

    #[test]
    fn an_error_satisfies_only_its_expectation() {
        use Expect::{Closed, Filtered, Refused};
        for (error, satisfied) in [
            (ConnectError::Answered(Class::Refused), &[Refused, Closed][..]),
            (ConnectError::Answered(Class::Timeout), &[Filtered, Closed]),
            (ConnectError::Answered(Class::Unreachable), &[Filtered, Closed]),
            (ConnectError::Unsent(Class::Unreachable), &[]),
            (ConnectError::Unsent(Class::Timeout), &[]),
        ] {
            for expect in ALL {
                let result = connect_result(&failed(error), expect);
                assert_eq!(result.is_ok(), satisfied.contains(&expect), "{error:?} {expect:?}");
                assert!(!matches!(result, Err(Fault::LocalFault(_))));
            }
        }
    }

    #[test]
    fn a_local_fault_satisfies_no_expectation() {
        for expect in ALL {
            let result = connect_result(&failed(ConnectError::Local(LocalFaultReason::NoPort)), expect);
            assert!(matches!(result, Err(Fault::LocalFault(_))), "{expect:?}");
        }
    }

    /// Returns attempts by letter: (s)uccess, (f)ailure, (l)ocal fault. Address and timing contain the index.
    fn attempts(letters: &str) -> Vec<Attempt> {
        let attempt = |(index, letter)| {
            let index = u8::try_from(index).unwrap();
            let completed = Timings::default().with(Phase::Connect, Duration::from_millis(u64::from(index)));
            let (result, timings) = match letter {
                's' => (Ok(()), completed),
                'f' => {
                    (connect_result(&failed(ConnectError::Unsent(Class::Timeout)), Expect::Open), Timings::default())
                }
                _ => {
                    let error = ConnectError::Local(LocalFaultReason::NoPort);
                    (connect_result(&failed(error), Expect::Open), Timings::default())
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
    fn the_worst_of_all_attempts_decides() {
        for (letters, expected) in [("sss", 2), ("sff", 1), ("lsf", 2), ("sls", 1), ("fl", 0), ("l", 0)] {
            assert_eq!(place(decisive_of_all(&attempts(letters))), expected, "{letters}");
        }
    }

    /// Returns an attempt whose certificate has these faults. With [`Verify::Strict`] the first one is its failure.
    fn showing(index: u8, verify: Verify, faults: &[Class]) -> Attempt {
        let facts = Facts { tls: Some(example_facts(index, faults)), ..Facts::default() };
        let fault = faults.first().filter(|_| verify == Verify::Strict);
        let result = fault.map_or(Ok(()), |class| Err(Fault::failure(Phase::Tls, *class, index.to_string())));
        let (address, duration, timings) = ([192, 0, 2, index].into(), Duration::ZERO, Timings::default());
        Attempt { address, result, duration, timings, syn_retransmits: 0, facts, transcript: None }
    }

    #[test]
    fn the_failure_belongs_to_the_displayed_certificate() {
        let shown = |attempts: &[Attempt]| worst_tls(attempts).unwrap().peer.as_ref().unwrap().leaf.fingerprint;
        for faults in [
            &[&[Class::CertUntrusted][..], &[Class::CertExpired]][..],
            &[&[Class::CertExpired], &[Class::CertUntrusted, Class::CertInvalid]],
            &[&[], &[Class::CertInvalid], &[Class::CertNameMismatch], &[Class::CertNameMismatch]],
        ] {
            let attempts: Vec<_> = (0..)
                .zip(faults)
                .map(|(index, faults)| showing(index, Verify::Strict, faults))
                .collect();
            let worst = place(decisive_of_all(&attempts));
            assert_eq!(shown(&attempts).as_bytes(), &[worst; 32], "{faults:?}");
        }
        // An attempt that does not connect is worse, but has no certificate.
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
