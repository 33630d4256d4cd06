//! Discovery: sources are refreshed periodically, and changes are passed to the reconciler.
//!
//! ```text
//! file, http, dns --refresh--> Debouncer (skips repetitions, confirms mass removals) --Update--> Sources::next
//! ```
//!
//! Each source is a separate task. Entries are read here but not validated: `config` decides which entries are valid
//! targets, and `app` which of several targets with the same name wins. Everything that a source can send is bounded in
//! size and time, and nothing here blocks the thread that probes.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::warn;

use self::debouncer::{Debouncer, Filtered};
pub use self::error::RefreshError;
use self::file::Files;
use crate::config::{Discovered, Source, SourceKind};
use crate::files::reads::Reads;
use crate::files::{MAX_SETTLING, SETTLE_TIME};
use crate::loop_lag::{LoopLag, Watch};
use crate::mass_removal::MassRemoval;
use crate::probe::Connector;
use crate::tasks::{blocking, resume_panic};

mod debouncer;
mod dns;
mod error;
mod file;
mod http;

/// Result of refreshing a source.
#[derive(Debug)]
pub struct Update {
    /// The source.
    pub source: Source,
    /// Its entries. After an error the previous entries stay in use.
    pub result: Result<Snapshot, RefreshError>,
}

/// All entries of a source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The entries in the order of the source, shared with it.
    pub entries: Arc<[Discovered]>,
    /// Problems of parts of the source, each a line for the log: an unreadable file, more entries than allowed. The
    /// entries contain the previous ones of such a part.
    pub problems: Vec<String>,
}

/// The sources in use, each with the task that refreshes it. All tasks end with this value.
#[derive(Debug)]
pub struct Sources {
    shared: Shared,
    tasks: JoinSet<()>,
    running: HashMap<Source, AbortHandle>,
    /// The last entries of each source, by its name.
    reported: HashMap<Arc<str>, Arc<[Discovered]>>,
    /// The names of the sources that have not sent an update yet.
    awaited: HashSet<Arc<str>>,
    updates: mpsc::Receiver<Update>,
}

impl Sources {
    /// No source yet. A failure that `lag` may have caused is not the fault of a source.
    pub fn new(connector: Connector, lag: Arc<LoopLag>) -> Self {
        let (sender, updates) = mpsc::channel(MAX_WAITING);
        Self {
            shared: Shared { connector, lag, updates: sender },
            tasks: JoinSet::new(),
            running: HashMap::new(),
            reported: HashMap::new(),
            awaited: HashSet::new(),
            updates,
        }
    }

    /// Replaces the sources. A source that stays is not interrupted; a new one is refreshed at once. A source whose
    /// settings have changed starts from its last entries. A removed source sends no more updates.
    pub fn set(&mut self, sources: &[Source]) {
        self.running.retain(|source, task| {
            let stays = sources.contains(source);
            if !stays {
                task.abort();
            }
            stays
        });
        let stays = |name: &Arc<str>| sources.iter().any(|source| source.name == *name);
        self.reported.retain(|name, _| stays(name));
        self.awaited.retain(stays);
        for source in sources {
            if !self.running.contains_key(source) {
                let debouncer = self
                    .reported
                    .get(&source.name)
                    .cloned()
                    .map(Debouncer::resume)
                    .unwrap_or_default();
                if !self.reported.contains_key(&source.name) {
                    self.awaited.insert(source.name.clone());
                }
                let task = watch(source.clone(), debouncer, self.shared.clone());
                self.running.insert(source.clone(), self.tasks.spawn(task));
            }
        }
    }

    /// Returns whether a source has not sent an update yet, not even an error.
    pub fn awaits_first_update(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// The next update. Pends while there is none; cancel safe.
    pub async fn next(&mut self) -> Update {
        loop {
            tokio::select! {
                // A task ends by itself only if the receiver is gone.
                Some(ended) = self.tasks.join_next() => ended.unwrap_or_else(resume_panic),
                // `self` holds a sender, so `recv` never returns `None`.
                Some(update) = self.updates.recv() => {
                    // A removed source may have sent this update before its removal.
                    if self.running.contains_key(&update.source) {
                        self.awaited.remove(&update.source.name);
                        if let Ok(snapshot) = &update.result {
                            self.reported.insert(update.source.name.clone(), snapshot.entries.clone());
                        }
                        return update;
                    }
                }
            }
        }
    }
}

/// Reads a source once.
pub async fn read_once(source: &Source, connector: &Connector) -> Result<Snapshot, RefreshError> {
    refresh(source, &mut Reader::default(), connector).await
}

/// The files of a source that match its pattern.
pub fn files_of(pattern: &Path) -> Result<Vec<PathBuf>, RefreshError> {
    file::paths(pattern)
}

/// The text of a source's file and its entries.
pub fn read_file(path: &Path) -> Result<(String, Vec<Discovered>), RefreshError> {
    file::text_and_entries(path)
}

/// The parts that the tasks of all sources share.
#[derive(Clone, Debug)]
struct Shared {
    connector: Connector,
    lag: Arc<LoopLag>,
    updates: mpsc::Sender<Update>,
}

/// Refreshes a source at once and then at its interval, until the receiver of its updates is gone.
async fn watch(source: Source, mut debouncer: Debouncer, shared: Shared) {
    let mut ticks = interval(source.refresh.max(MIN_REFRESH));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reader = Reader::default();
    // Whether the last refresh was ignored, which is logged once.
    let mut is_ignoring = false;
    loop {
        ticks.tick().await;
        reader.settling = if debouncer.has_entries() { Settling::On } else { Settling::Off };
        let watch = Watch::start(&shared.lag);
        let result = refresh(&source, &mut reader, &shared.connector).await;
        if let Err(error) = &result
            && error.depends_on_time()
            && let Some(pauses) = watch.pauses(&shared.lag)
        {
            if !std::mem::replace(&mut is_ignoring, true) {
                warn!(source = %source.name, %pauses, %error, "Ignored a failed refresh of a discovery source");
            }
            continue;
        }
        is_ignoring = false;
        let filtered;
        (debouncer, filtered) = blocking(move || {
            let filtered = debouncer.filter(result);
            (debouncer, filtered)
        })
        .await;
        let Filtered { update, unconfirmed } = filtered;
        if let Some(MassRemoval { removed, before }) = unconfirmed {
            warn!(
                source = %source.name,
                missing = removed,
                targets = before,
                "A discovery source lacks most of its targets, keeping them until its next refresh"
            );
            // A slow refresh may have used up the time until the next one.
            ticks.reset_after(source.refresh.max(MIN_CONFIRMATION));
        }
        let Some(result) = update else { continue };
        if shared.updates.send(Update { source: source.clone(), result }).await.is_err() {
            return;
        }
    }
}

/// Reads the files of one source: its entries, or the values of its headers.
#[derive(Debug, Default)]
struct Reader {
    files: Arc<Files>,
    reads: Reads,
    settling: Settling,
}

/// Whether changed files must settle before they count.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Settling {
    /// No: no target can be lost.
    #[default]
    Off,
    /// Yes: a partly written file may be valid.
    On,
}

async fn refresh(source: &Source, reader: &mut Reader, connector: &Connector) -> Result<Snapshot, RefreshError> {
    match &source.kind {
        SourceKind::Dns { name, records } => dns::refresh(name, *records, connector).await,
        SourceKind::File { pattern } => reader.settled(pattern).await,
        SourceKind::Http(http) => {
            let bounds = http::Bounds::default();
            http::refresh(http, source.refresh, bounds, &reader.reads, connector).await
        }
    }
}

impl Reader {
    /// Reads the files that match, again and again while they change.
    async fn settled(&mut self, pattern: &Path) -> Result<Snapshot, RefreshError> {
        for _ in 0..MAX_SETTLING {
            let before = self.files.clone();
            let snapshot = self.read(pattern.to_owned()).await?;
            if self.settling == Settling::Off || self.files.are_like(&before) {
                return Ok(snapshot);
            }
            sleep(SETTLE_TIME).await;
        }
        self.read(pattern.to_owned()).await
    }

    /// Reads the files that match. After a read that hangs, the files are as before.
    async fn read(&mut self, pattern: PathBuf) -> Result<Snapshot, RefreshError> {
        let before = self.files.clone();
        let (after, result) = self
            .reads
            .run(move || {
                let mut files = Files::clone(&before);
                let result = files.refresh(&pattern);
                (files, result)
            })
            .await?;
        self.files = Arc::new(after);
        result
    }
}

/// Maximum number of updates in the channel. Each may be large; when the channel is full, sources wait.
const MAX_WAITING: usize = 4;

/// The second look at a list comes at least this much later, also with a shorter period.
const MIN_CONFIRMATION: Duration = Duration::from_secs(3);

/// Without a pause one source would use all CPU time.
const MIN_REFRESH: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests;
