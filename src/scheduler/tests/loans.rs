//! Loans: no probe of a lent target starts, and none is lost.

use super::*;

const INTERVAL: Duration = Duration::from_secs(10);

/// Starts a scheduler with one target, whose probes take a second.
async fn one(next: Next) -> (Instant, Duration, Arc<Target>, Running) {
    let target = target("127.0.0.1:1", INTERVAL, 5 * SECOND);
    let (origin, first) = (Instant::now(), first_tick(&target));
    let running = Running::start(&[(&target, &[Step::Take(SECOND)])], Limits::default(), next).await;
    (origin, first, target, running)
}

#[tokio::test(start_paused = true)]
async fn a_due_probe_waits_for_a_lent_target() {
    let (origin, first, target, running) = one(Next::OnSchedule).await;
    until(origin, first.saturating_sub(MILLISECOND)).await;
    let loan = running.handle.lend(&target.name).await.unwrap();
    assert!(Arc::ptr_eq(loan.target(), &target));
    until(origin, first + 3 * SECOND).await;
    assert_eq!(running.journal.len(), 0);
    drop(loan);
    until(origin, first + 3 * SECOND + 2 * MILLISECOND).await;
    assert_eq!(running.journal.len(), 1, "it starts at once");
    until(origin, first + 15 * SECOND).await;
    assert_on_grid(&running.journal.starts(&target)[1..], first + INTERVAL, INTERVAL);
    assert_eq!((running.journal.len(), running.skipped()), (2, (0, 0)));
}

#[tokio::test(start_paused = true)]
async fn further_ticks_of_a_lent_target_are_skipped() {
    let (origin, first, target, running) = one(Next::OnSchedule).await;
    let loan = running.handle.lend(&target.name).await.unwrap();
    until(origin, first + 2 * INTERVAL + SECOND).await;
    drop(loan);
    until(origin, first + 2 * INTERVAL + 2 * SECOND).await;
    assert_eq!((running.journal.len(), running.skipped()), (1, (2, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_for_a_lent_target() {
    let (origin, first, target, running) = one(Next::Retry(2 * SECOND)).await;
    until(origin, first + SECOND + 20 * MILLISECOND).await;
    let loan = running.handle.lend(&target.name).await.unwrap();
    until(origin, first + 4 * SECOND).await;
    assert_eq!(running.journal.len(), 1);
    drop(loan);
    until(origin, first + 4 * SECOND + 20 * MILLISECOND).await;
    assert_eq!(running.journal.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_target_is_lent_only_once() {
    let (origin, first, target, running) = one(Next::OnSchedule).await;
    let loan = running.handle.lend(&target.name).await.unwrap();
    assert_eq!(running.handle.lend(&target.name).await.unwrap_err(), LendError::Busy);
    drop(loan);
    drop(running.handle.lend(&target.name).await.unwrap());
    until(origin, first + 500 * MILLISECOND).await;
    assert_eq!(running.handle.lend(&target.name).await.unwrap_err(), LendError::Busy, "its probe runs");
    let other = example("127.0.0.2:1", Settings::default()).name;
    assert_eq!(running.handle.lend(&other).await.unwrap_err(), LendError::Unknown);
    running.stop.cancel();
    running.handle.stopped().await;
    assert_eq!(running.handle.lend(&target.name).await.unwrap_err(), LendError::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_removed_target_is_revoked() {
    let (origin, first, target, running) = one(Next::OnSchedule).await;
    let loan = running.handle.lend(&target.name).await.unwrap();
    let removed = vec![target.name.clone()];
    running.handle.change(Change { removed, ..Change::default() }).await.unwrap();
    loan.revoked().await;
    let upserted = vec![target.clone()];
    running.handle.change(Change { upserted, ..Change::default() }).await.unwrap();
    let next = running.handle.lend(&target.name).await.unwrap();
    drop(loan);
    until(origin, first + SECOND).await;
    assert_eq!(running.journal.len(), 0, "the loan of the removed target ends no other one");
    drop(next);
    until(origin, first + 2 * SECOND).await;
    assert_eq!(running.journal.len(), 1);
}
