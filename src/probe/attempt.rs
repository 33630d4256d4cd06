//! The addresses of one target, tried one after the other or all at once, and the one verdict that they come to.
//!
//! A verdict on one address is whether its connect came to what the target's settings expect. Over several addresses
//! an attempt that was never made, for a fault of this machine, is neither good nor bad but unknown: it decides
//! nothing that the others have not decided, and leaves the whole unknown where it could have.

use std::net::{IpAddr, SocketAddr};
use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::connect::{Connection, Unconnected, connect};
use super::errno::Ending;
use crate::outcome::{Attempt, Class, Failure, LocalFault, Phase, Timings, Verdict};
use crate::target::{AddressMode, Exchange, Expect, Settings};

/// What the addresses came to.
pub(super) struct Attempted {
    /// Each address that was tried, in order.
    pub(super) attempts: Vec<Attempt>,
    /// The verdict on the target.
    pub(super) verdict: Verdict,
    /// The phases completed with the address that the verdict is of.
    pub(super) timings: Timings,
    /// Still open: closing it is no part of what is timed.
    pub(super) connection: Option<Connection>,
}

/// Tries the destinations in the manner that the settings ask for. Ends by `deadline`.
pub(super) async fn attempt(destinations: Vec<SocketAddr>, settings: &Settings, deadline: Instant) -> Attempted {
    match settings.addressing.mode {
        AddressMode::All => all(destinations, settings, deadline).await,
        AddressMode::Any => any(&destinations, settings, deadline).await,
    }
}

/// One after the other, each but the last with an equal share of the time left, until one connects.
async fn any(destinations: &[SocketAddr], settings: &Settings, deadline: Instant) -> Attempted {
    let mut attempts = Vec::with_capacity(destinations.len());
    let mut connection = None;
    for (remote, left) in destinations.iter().zip((1..=destinations.len()).rev()) {
        let tried = try_one(*remote, settings, share(deadline, left)).await;
        attempts.push(tried.attempt);
        connection = tried.connection;
        if connection.is_some() {
            break;
        }
    }
    let decisive = decisive_of_any(&attempts, connection.is_some());
    let (verdict, timings) = conclusion(decisive);
    Attempted { attempts, verdict, timings, connection }
}

/// Every address at once, each with the whole time; of more than [`AT_ONCE`] the rest as soon as others have ended, for
/// whoever answers for the name decides how many there are.
async fn all(destinations: Vec<SocketAddr>, settings: &Settings, deadline: Instant) -> Attempted {
    let mut running = JoinSet::new();
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut attempts = Vec::with_capacity(destinations.len());
    for (index, remote) in destinations.into_iter().enumerate() {
        let (source, expect) = (settings.source_address, expectation(settings));
        let turns = turns.clone();
        running.spawn(async move {
            let _turn = turns.acquire().await;
            let tried = try_address(remote, source, expect, deadline).await;
            if let Some(connection) = tried.connection {
                connection.close();
            }
            (index, tried.attempt)
        });
    }
    while let Some(finished) = running.join_next().await {
        match finished {
            Ok(attempt) => attempts.push(attempt),
            // Else it was cancelled, which only a dropped set does, and then nobody is here to see it.
            Err(error) => {
                if let Ok(panic) = error.try_into_panic() {
                    resume_unwind(panic);
                }
            }
        }
    }
    attempts.sort_unstable_by_key(|(index, _)| *index);
    let attempts: Vec<_> = attempts.into_iter().map(|(_, attempt)| attempt).collect();
    let (verdict, timings) = conclusion(decisive_of_all(&attempts));
    Attempted { attempts, verdict, timings, connection: None }
}

/// The attempt that decides where one connection is enough: the one that connected; else one that could not be made,
/// for it might have connected; else the last.
fn decisive_of_any(attempts: &[Attempt], connected: bool) -> Option<&Attempt> {
    if connected {
        return attempts.last();
    }
    attempts.iter().find(|attempt| matches!(attempt.verdict, Verdict::LocalFault(_))).or_else(|| attempts.last())
}

/// The attempt that decides where each must be good, the worst: the first that failed; else the first that could not
/// be made; else the slowest.
fn decisive_of_all(attempts: &[Attempt]) -> Option<&Attempt> {
    attempts
        .iter()
        .find(|attempt| matches!(attempt.verdict, Verdict::Failed(_)))
        .or_else(|| attempts.iter().find(|attempt| matches!(attempt.verdict, Verdict::LocalFault(_))))
        .or_else(|| attempts.iter().max_by_key(|attempt| attempt.timings.of(Phase::Connect)))
}

fn conclusion(decisive: Option<&Attempt>) -> (Verdict, Timings) {
    let attempt = decisive.expect("there must be an address, for resolving ends with one or fails");
    (attempt.verdict.clone(), attempt.timings)
}

/// The end of an equal share of the time that is left.
fn share(deadline: Instant, left: usize) -> Instant {
    let now = Instant::now();
    let left = u32::try_from(left).unwrap_or(u32::MAX).max(1);
    now + deadline.saturating_duration_since(now) / left
}

struct Tried {
    attempt: Attempt,
    connection: Option<Connection>,
}

async fn try_one(remote: SocketAddr, settings: &Settings, deadline: Instant) -> Tried {
    try_address(remote, settings.source_address, expectation(settings), deadline).await
}

async fn try_address(remote: SocketAddr, source: Option<IpAddr>, expect: Expect, deadline: Instant) -> Tried {
    let started = Instant::now();
    let connected = connect(remote, source, deadline).await;
    let duration = Instant::now().saturating_duration_since(started);
    let verdict = match &connected {
        Ok(_) => judge_connection(remote, expect),
        Err(unconnected) => judge_failure(unconnected, expect),
    };
    let (timings, syn_retransmits) = match &connected {
        Ok(connection) if verdict.is_good() => {
            (Timings::default().with(Phase::Connect, connection.handshake), connection.syn_retransmits)
        }
        Ok(connection) => (Timings::default(), connection.syn_retransmits),
        Err(unconnected) => (Timings::default(), unconnected.syn_retransmits),
    };
    let attempt = Attempt { address: remote.ip(), verdict, duration, timings, syn_retransmits };
    Tried { attempt, connection: connected.ok() }
}

fn expectation(settings: &Settings) -> Expect {
    let Exchange::Tcp { expect } = settings.exchange;
    expect
}

fn judge_connection(remote: SocketAddr, expect: Expect) -> Verdict {
    if expect == Expect::Open {
        return Verdict::Good;
    }
    let detail = format!("{remote} accepted the connection, but should be {}", expect.as_str());
    Verdict::Failed(Failure { phase: Phase::Connect, class: Class::UnexpectedOpen, detail })
}

fn judge_failure(unconnected: &Unconnected, expect: Expect) -> Verdict {
    let detail = || unconnected.detail.clone();
    let class = match unconnected.ending {
        Ending::Local(reason) => return Verdict::LocalFault(LocalFault { reason, detail: detail() }),
        Ending::Answered(class) if satisfies(class, expect) => return Verdict::Good,
        Ending::Answered(class) | Ending::Unsent(class) => class,
    };
    let detail = match expect {
        Expect::Open => detail(),
        Expect::Closed | Expect::Filtered | Expect::Refused => {
            format!("{}; expected: {}", unconnected.detail, expect.as_str())
        }
    };
    Verdict::Failed(Failure { phase: Phase::Connect, class, detail })
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
    use std::time::Duration;

    use super::*;
    use crate::outcome::LocalFaultReason;

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
                let verdict = judge_failure(&unconnected(ending), expect);
                assert_eq!(verdict.is_good(), satisfied.contains(&expect), "{ending:?} {expect:?}");
                assert!(!matches!(verdict, Verdict::LocalFault(_)));
            }
        }
    }

    #[test]
    fn a_local_fault_is_one_whatever_is_expected() {
        for expect in ALL {
            let verdict = judge_failure(&unconnected(Ending::Local(LocalFaultReason::NoPort)), expect);
            assert!(matches!(verdict, Verdict::LocalFault(_)), "{expect:?}");
        }
    }

    #[test]
    fn a_connection_is_good_only_where_open_is_expected() {
        let remote = "192.0.2.1:22".parse().unwrap();
        for expect in ALL {
            let verdict = judge_connection(remote, expect);
            match verdict {
                Verdict::Good => assert_eq!(expect, Expect::Open),
                Verdict::Failed(failure) => assert_eq!(failure.class, Class::UnexpectedOpen),
                Verdict::LocalFault(_) => panic!("{expect:?}"),
            }
        }
    }

    /// Attempts by letter: (g)ood, (f)ailed, (l)ocal fault; their place is in the address and in the timing.
    fn attempts(letters: &str) -> Vec<Attempt> {
        let attempt = |(index, letter)| {
            let index = u8::try_from(index).unwrap();
            let good = Timings::default().with(Phase::Connect, Duration::from_millis(u64::from(index)));
            let (verdict, timings) = match letter {
                'g' => (Verdict::Good, good),
                'f' => (judge_failure(&unconnected(Ending::Unsent(Class::Timeout)), Expect::Open), Timings::default()),
                _ => {
                    let ending = Ending::Local(LocalFaultReason::NoPort);
                    (judge_failure(&unconnected(ending), Expect::Open), Timings::default())
                }
            };
            let duration = Duration::ZERO;
            Attempt { address: [192, 0, 2, index].into(), verdict, duration, timings, syn_retransmits: 0 }
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

    #[test]
    fn of_any_the_last_decides_unless_one_was_never_tried() {
        for (letters, connected, expected) in
            [("fg", true, 1), ("ff", false, 1), ("lf", false, 0), ("lg", true, 1), ("flf", false, 1)]
        {
            assert_eq!(place(decisive_of_any(&attempts(letters), connected)), expected, "{letters}");
        }
    }
}
