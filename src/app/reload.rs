//! Reload: when the configuration is to be read anew.
//!
//! Asked for by signal, by HTTP, or by a content that has changed. One reload runs at a time and serves everybody who
//! has asked before it began.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use crate::config::{Config, LoadError};
use crate::http::Reloads;
use crate::shutdown::Hangups;
use crate::target::Sha256Digest;
use crate::tasks::blocking;

/// Where a configuration comes from, and who else lives by it.
///
/// Its methods block; they are called beside the thread that probes.
pub trait Origin: fmt::Debug + Send + Sync + 'static {
    /// Reads the configuration, and every file that it names.
    fn load(&self) -> Result<Config, LoadError>;

    /// A digest of its present content; none where that cannot be read.
    fn digest(&self) -> Option<Sha256Digest>;

    /// Takes over what is neither target nor limit nor label. The configuration is in force from here on.
    fn adopt(&self, config: &Config);
}

/// Whether the content of a configuration is watched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AutoReload {
    /// It is, every ten seconds.
    On,
    /// It is not: only whoever asks gets a reload.
    Off,
}

/// A reload is wanted.
#[derive(Debug)]
pub(super) struct Trigger {
    /// Who wants it.
    pub(super) by: &'static str,
    /// Those who wait for what becomes of it.
    pub(super) asked: Vec<oneshot::Sender<Result<(), String>>>,
}

/// Finds out when a reload is wanted.
#[derive(Debug)]
pub(super) struct Detector {
    pub(super) origin: Arc<dyn Origin>,
    pub(super) auto: AutoReload,
    pub(super) hangups: Hangups,
    pub(super) requests: mpsc::Receiver<oneshot::Sender<Result<(), String>>>,
    /// The digest of what is in force.
    pub(super) known: Option<Sha256Digest>,
}

impl Detector {
    /// Sends a trigger whenever a reload is wanted. Ends when nobody takes them any more, or by being dropped.
    pub(super) async fn run(mut self, triggers: mpsc::Sender<Trigger>) {
        let mut looks = interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut asked = Vec::new();
            let by = tokio::select! {
                () = self.hangups.next() => "SIGHUP",
                Some(request) = self.requests.recv() => {
                    asked.push(request);
                    "HTTP"
                }
                _ = looks.tick(), if self.auto == AutoReload::On => {
                    if self.digest().await == self.known {
                        continue;
                    }
                    self.settle().await;
                    "its content"
                }
            };
            // Only once the reload before has begun: whoever asks until then is served by this one.
            let Ok(place) = triggers.reserve().await else { return };
            while let Ok(request) = self.requests.try_recv() {
                asked.push(request);
            }
            // Before it is read: what is written meanwhile is seen at the next look.
            self.known = self.digest().await;
            place.send(Trigger { by, asked });
        }
    }

    /// Waits until somebody who is writing has finished, as far as that can be told: half a file may be a good one.
    async fn settle(&self) {
        let mut before = self.digest().await;
        for _ in 0..MAX_SETTLING {
            sleep(SETTLING).await;
            let now = self.digest().await;
            if now == before {
                return;
            }
            before = now;
        }
    }

    async fn digest(&self) -> Option<Sha256Digest> {
        let origin = self.origin.clone();
        blocking(move || origin.digest()).await
    }
}

/// A channel for those who ask for a reload by HTTP.
pub(super) fn requests() -> (Reloads, mpsc::Receiver<oneshot::Sender<Result<(), String>>>) {
    let (sender, receiver) = mpsc::channel(MAX_REQUESTS);
    (Reloads::new(sender), receiver)
}

/// As often as Prometheus' own exporters look at the most.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A content that is the same after so long is taken for whole.
const SETTLING: Duration = Duration::from_millis(500);

/// A file that changes all the time is taken as it is in the end.
const MAX_SETTLING: usize = 20;

/// Requests that wait for a reload at a time; further ones wait to be taken.
const MAX_REQUESTS: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use tokio::task::JoinHandle;

    use super::*;

    /// A configuration whose content is another at each look, and in the end stays.
    #[derive(Debug)]
    struct Written {
        looks: Mutex<VecDeque<u8>>,
        last: u8,
    }

    impl Origin for Written {
        fn load(&self) -> Result<Config, LoadError> {
            unreachable!("a detector reads nothing")
        }

        fn digest(&self) -> Option<Sha256Digest> {
            Some(digest(self.looks.lock().unwrap().pop_front().unwrap_or(self.last)))
        }

        fn adopt(&self, _: &Config) {}
    }

    fn digest(byte: u8) -> Sha256Digest {
        Sha256Digest::new([byte; 32])
    }

    /// Detects changes of what shows these digests, the first of which is in force.
    fn detect(looks: &[u8]) -> (JoinHandle<()>, mpsc::Receiver<Trigger>, Arc<Written>) {
        let (first, last) = (looks[0], looks[looks.len() - 1]);
        let origin = Arc::new(Written { looks: Mutex::new(looks[1..].iter().copied().collect()), last });
        let (_, requests) = requests();
        let (auto, hangups) = (AutoReload::On, Hangups::install().unwrap());
        let detector = Detector { origin: origin.clone(), auto, hangups, requests, known: Some(digest(first)) };
        let (sender, triggers) = mpsc::channel(1);
        (tokio::spawn(detector.run(sender)), triggers, origin)
    }

    #[tokio::test(start_paused = true)]
    async fn a_content_that_changed_while_it_was_read_at_the_start_is_seen() {
        let (detecting, mut triggers, _) = detect(&[1, 2]);
        assert_eq!(triggers.recv().await.unwrap().by, "its content");
        detecting.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_somebody_still_writes_is_taken_once_it_stays_the_same() {
        let (detecting, mut triggers, origin) = detect(&[1, 1, 1, 2, 3, 4, 5, 5]);
        assert_eq!(triggers.recv().await.unwrap().by, "its content");
        assert!(origin.looks.lock().unwrap().is_empty(), "every half of the file was looked at, and left alone");
        detecting.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_never_rests_is_taken_in_the_end() {
        let restless: Vec<u8> = (1..=100).collect();
        let (detecting, mut triggers, origin) = detect(&restless);
        assert_eq!(triggers.recv().await.unwrap().by, "its content");
        assert!(origin.looks.lock().unwrap().len() > 70, "that is long before it has come to rest");
        detecting.abort();
    }
}
