//! The rate of an audit.

use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::locks::lock;

/// Lets a number of connections start per second. An idle second gives no credit.
#[derive(Debug)]
pub(super) struct Pace {
    gap: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        Self { gap: Duration::from_secs(1) / per_second.get(), next: Mutex::new(Instant::now()) }
    }

    /// Waits until the next connection may start. Those of one batch start together, because wake-ups are expensive.
    pub(super) async fn turn(&self) {
        let now = Instant::now();
        let turn = self.take(now);
        if turn > now + BATCH {
            sleep_until(turn).await;
        }
    }

    fn take(&self, now: Instant) -> Instant {
        let mut next = lock(&self.next);
        let turn = (*next).max(now);
        *next = turn + self.gap;
        turn
    }
}

/// As for probes.
const BATCH: Duration = Duration::from_millis(8);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rate_holds_over_a_second() {
        let pace = Pace::new(NonZeroU32::new(2000).unwrap());
        for _ in 0..2 {
            let begun = Instant::now();
            let mut started = 0;
            while begun.elapsed() < Duration::from_secs(1) {
                pace.turn().await;
                started += 1;
            }
            assert!((1990..=2020).contains(&started), "{started}");
            tokio::time::advance(Duration::from_mins(1)).await;
        }
    }
}
