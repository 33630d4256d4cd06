//! The rate limit: a token bucket that all clients share, as in the exporter-toolkit.

use std::sync::Mutex;

use tokio::time::Instant;

use crate::config::web::RateLimit;
use crate::locks::lock;

/// The time at which the bucket would have been empty: tokens are the time since then, divided by the interval.
#[derive(Debug, Default)]
pub(super) struct RateLimiter(Mutex<Option<Instant>>);

impl RateLimiter {
    /// Takes a token. Returns false if there is none.
    pub(super) fn allows(&self, limit: RateLimit) -> bool {
        let RateLimit { interval, burst } = limit;
        let now = Instant::now();
        // A full bucket has no more tokens than this.
        let full = now.checked_sub(interval.saturating_mul(burst));
        let mut empty_since = lock(&self.0);
        let since = match (*empty_since, full) {
            (Some(since), Some(full)) => since.max(full),
            (Some(since), None) => since,
            (None, Some(full)) => full,
            // The clock has run for a shorter time than the bucket takes to fill.
            (None, None) => now.checked_sub(interval).unwrap_or(now),
        };
        let next = since + interval;
        if next > now {
            return false;
        }
        *empty_since = Some(next);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_allowed_then_one_per_interval() {
        advance(Duration::from_secs(100)).await;
        let (limiter, limit) = (RateLimiter::default(), RateLimit { interval: Duration::from_secs(2), burst: 3 });
        let allowed = |count: usize| (0..count).filter(|_| limiter.allows(limit)).count();
        assert_eq!(allowed(10), 3);
        advance(Duration::from_millis(1999)).await;
        assert_eq!(allowed(10), 0);
        advance(Duration::from_millis(1)).await;
        assert_eq!(allowed(10), 1);
        advance(Duration::from_mins(1)).await;
        assert_eq!(allowed(10), 3, "the bucket holds no more than the burst");
    }
}
