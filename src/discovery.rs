//! Discovery: sources are looked at again and again, and what they say goes on to whoever keeps the targets.
//!
//! ```text
//! file, http, dns --look--> Belief (is that news, is it to be believed) --Update--> Sources::next
//! ```
//!
//! Each source is a task of its own. What a source says is read here and not judged: which entries are targets, and
//! which of them wins, is the business of `config` and of the roster. Everything that a source can say is bounded in
//! size and in time, and nothing here waits on the thread that probes.

use std::collections::HashMap;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

use self::debouncer::Belief;
use self::file::Files;
use crate::config::{Discovered, Source, SourceKind};
use crate::probe::Connector;
use crate::tasks::{blocking, resume_panic};

mod debouncer;
mod dns;
mod file;
mod http;

/// What a source was found to say.
#[derive(Clone, Debug)]
pub struct Update {
    /// Who says it.
    pub source: Source,
    /// What it says; or why nothing can be learnt from it, and then what it said before still holds.
    pub found: Result<Found, String>,
}

/// What a source says, all of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Its entries, in its order. Whoever keeps them shares them with the source.
    pub entries: Arc<[Discovered]>,
    /// What was wrong with parts of it, each in a line for the log: a file that cannot be read, more than is taken. The
    /// entries hold what such a part said before.
    pub complaints: Vec<String>,
}

/// The sources in use, each with the task that looks at it. All tasks end with this value.
#[derive(Debug)]
pub struct Sources {
    connector: Connector,
    tasks: JoinSet<()>,
    running: HashMap<Source, AbortHandle>,
    /// By the source's name, what it said last.
    told: HashMap<Arc<str>, Arc<[Discovered]>>,
    sender: mpsc::Sender<Update>,
    updates: mpsc::Receiver<Update>,
}

impl Sources {
    /// No source yet.
    pub fn new(connector: Connector) -> Self {
        let (sender, updates) = mpsc::channel(MAX_WAITING);
        Self { connector, tasks: JoinSet::new(), running: HashMap::new(), told: HashMap::new(), sender, updates }
    }

    /// Takes these sources and no others. One that was there before goes on undisturbed, and tells nothing anew; the
    /// others are looked at at once. One that is only to be asked in another way goes on from what it said last. From a
    /// source that is gone nothing more is heard.
    pub fn set(&mut self, sources: &[Source]) {
        self.running.retain(|source, task| {
            let stays = sources.contains(source);
            if !stays {
                task.abort();
            }
            stays
        });
        self.told.retain(|name, _| sources.iter().any(|source| source.name == *name));
        for source in sources {
            if !self.running.contains_key(source) {
                let belief = self.told.get(&source.name).cloned().map(Belief::resuming).unwrap_or_default();
                let task = watch(source.clone(), belief, self.connector.clone(), self.sender.clone());
                self.running.insert(source.clone(), self.tasks.spawn(task));
            }
        }
    }

    /// What a source has to say next. Comes to no end while there is nothing new; may be dropped without loss.
    pub async fn next(&mut self) -> Update {
        loop {
            tokio::select! {
                // One ends by itself only where nobody listens any more.
                Some(ended) = self.tasks.join_next() => ended.unwrap_or_else(resume_panic),
                // There is always a sender, the own one.
                Some(update) = self.updates.recv() => {
                    // What was said before the source was taken away may still be under way.
                    if self.running.contains_key(&update.source) {
                        if let Ok(found) = &update.found {
                            self.told.insert(update.source.name.clone(), found.entries.clone());
                        }
                        return update;
                    }
                }
            }
        }
    }
}

/// Looks at a source at once and then in every refresh interval, for as long as anybody listens.
async fn watch(source: Source, mut belief: Belief, connector: Connector, updates: mpsc::Sender<Update>) {
    let mut looks = interval(source.refresh.max(MIN_REFRESH));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut files = Files::default();
    loop {
        looks.tick().await;
        let look = match &source.kind {
            SourceKind::Dns { name, records } => dns::look(name, *records, &connector).await,
            SourceKind::File { pattern } => look_at_files(&mut files, pattern.clone()).await,
            SourceKind::Http(address) => http::look(address, source.refresh, http::Bounds::default(), &connector).await,
        };
        let Some(found) = belief.observe(look) else { continue };
        if updates.send(Update { source: source.clone(), found }).await.is_err() {
            return;
        }
    }
}

async fn look_at_files(files: &mut Files, pattern: PathBuf) -> Result<Found, String> {
    let mut taken = mem::take(files);
    let look = blocking(move || {
        let found = taken.look(&pattern);
        (taken, found)
    });
    let (taken, found) = look.await;
    *files = taken;
    found
}

/// Updates that wait to be taken; each can be large, and a source with another one waits.
const MAX_WAITING: usize = 4;

/// A source without any pause would leave no time for others.
const MIN_REFRESH: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests;
