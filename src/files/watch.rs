//! Watching files: their contents are compared with those in use, so that a mounted secret whose symbolic links are
//! swapped is noticed. A file that cannot be used leaves the loaded content in use.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{error, info, warn};

/// Content that was loaded from files and follows their changes.
pub(crate) trait Watched: Send + Sync + 'static {
    /// The kind of the files in the log.
    const KIND: &'static str;

    /// Returns whether there is no file to watch.
    fn is_empty(&self) -> bool;

    /// Reads the files and applies what has changed.
    fn refresh(&self) -> Changes;

    /// Refreshes, logs the changes and returns the number of files that cannot be used.
    fn reload(&self) -> usize {
        let changes = self.refresh();
        changes.log(Self::KIND);
        changes.unusable.len()
    }
}

/// Reloads every `period`. Never ends.
///
/// Each time it calls `failed` once for every file that has changed and cannot be used, and for a check that panics.
pub(crate) async fn watch<W: Watched>(watched: &Arc<W>, period: Duration, failed: &(dyn Fn() + Sync)) {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if watched.is_empty() {
            continue;
        }
        let watched = watched.clone();
        match spawn_blocking(move || watched.reload()).await {
            Ok(failures) => (0..failures).for_each(|_| failed()),
            Err(error) => {
                error!(kind = W::KIND, %error, "Cannot check files for changes, keeping the current ones");
                failed();
            }
        }
    }
}

/// Result of one refresh; each file counts once, even if many settings name it.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Files whose new content is in use.
    pub(crate) reloaded: BTreeSet<String>,
    /// Files that were unusable and have the content in use again.
    pub(crate) restored: BTreeSet<String>,
    /// Faults of files that have changed since the last refresh.
    pub(crate) rejected: BTreeSet<String>,
    /// Faults of all files that cannot be used.
    pub(crate) unusable: BTreeSet<String>,
}

impl Changes {
    fn log(&self, kind: &'static str) {
        let listed = |names: &BTreeSet<String>| names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        if !self.reloaded.is_empty() {
            info!(kind, files = listed(&self.reloaded), "Reloaded files");
        }
        if !self.restored.is_empty() {
            info!(kind, files = listed(&self.restored), "Restored files");
        }
        for fault in &self.rejected {
            warn!(kind, fault, "Cannot reload files, keeping the current ones");
        }
    }
}

/// Time between two refreshes: a renewed certificate or token is in use as soon as a changed configuration is.
pub(crate) const PERIOD: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    struct Panicking;

    impl Watched for Panicking {
        const KIND: &'static str = "panicking";

        fn is_empty(&self) -> bool {
            false
        }

        fn refresh(&self) -> Changes {
            panic!("a defect")
        }
    }

    #[tokio::test]
    async fn a_check_that_panics_counts() {
        let (sender, mut failures) = unbounded_channel();
        let failed = || sender.send(()).unwrap();
        let watched = Arc::new(Panicking);
        let watching = pin!(watch(&watched, Duration::from_millis(1), &failed));
        tokio::select! {
            () = watching => {}
            failure = failures.recv() => assert_eq!(failure, Some(())),
        }
    }
}
