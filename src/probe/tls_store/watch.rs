//! Files that change while the daemon runs: renewed certificates, rotated roots, new revocation lists.
//!
//! Content is compared, not times of modification, so that a mounted secret whose symbolic links are swapped is seen.
//! What cannot be used leaves in force what was read before of the same file; a client certificate and its key are one.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{error, info, warn};

use super::contents::{Fingerprints, Snapshot, files};
use super::{Held, Rejected, Trust};
use crate::locks::{read, write};
use crate::target::{FileProblem, Roots, TlsFile, TlsProfile};

impl Trust {
    /// Looks at the files of all profiles again and again, and takes over what has changed. Never ends by itself.
    ///
    /// Calls `failed` each time that it looks, once for every file that has changed and cannot be used.
    pub async fn watch(self: &Arc<Self>, failed: &(dyn Fn() + Sync)) {
        let mut ticks = interval_at(Instant::now() + self.period, self.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if !self.has_sources() {
                continue;
            }
            let trust = self.clone();
            match spawn_blocking(move || trust.look()).await {
                Ok(failures) => (0..failures).for_each(|_| failed()),
                // What was read before is still in force.
                Err(error) => error!(%error, "Cannot look at the files of TLS"),
            }
        }
    }

    /// Whether there is anything to look at.
    fn has_sources(&self) -> bool {
        let held = read(&self.held);
        held.keys().any(|profile| profile.roots == Roots::System || files(profile).next().is_some())
    }

    /// Takes over what has changed, all at once, and tells how many files cannot be used.
    pub(super) fn look(&self) -> usize {
        let known: Vec<_> = {
            let held = read(&self.held);
            held.iter().map(|(profile, held)| (profile.clone(), held.clone())).collect()
        };
        let (mut snapshot, mut news) = (Snapshot::default(), News::default());
        let changed: Vec<_> = known
            .into_iter()
            .filter_map(|(profile, held)| Some((self.compare(&profile, &held, &mut snapshot, &mut news)?, profile)))
            .collect();
        let mut held = write(&self.held);
        for (changed, profile) in changed {
            // One that was forgotten meanwhile stays so.
            if let Some(slot) = held.get_mut(&profile) {
                *slot = changed;
            }
        }
        drop(held);
        news.tell()
    }

    /// What is to be held of a profile from now on; none where all is as it was when last looked at.
    fn compare(&self, profile: &TlsProfile, held: &Held, snapshot: &mut Snapshot, news: &mut News) -> Option<Held> {
        let (found, made_of) = (snapshot.fingerprints(profile), held.parts.made_of());
        match &held.rejected {
            Some(rejected) if rejected.found == found => {
                news.unusable.extend(messages(&rejected.problems));
                return None;
            }
            Some(rejected) if made_of == found => {
                news.restored.extend(differing(profile, &rejected.found, &found));
                return Some(Held { rejected: None, ..held.clone() });
            }
            None if made_of == found => return None,
            Some(_) | None => {}
        }
        let (parts, problems) = self.workshop.make(profile, snapshot, Some(&held.parts));
        let parts = parts.unwrap_or_else(|| held.parts.clone());
        let taken_over = differing(profile, &made_of, &parts.made_of());
        let context = if taken_over.is_empty() { held.context.clone() } else { self.context_of(profile, &parts) };
        news.taken_over.extend(taken_over);
        let (known, new): (Vec<_>, Vec<_>) = problems
            .iter()
            .cloned()
            .partition(|problem| held.rejected.as_ref().is_some_and(|rejected| rejected.has_known(problem, &found)));
        news.unusable.extend(messages(&known));
        news.rejected.extend(messages(&new));
        let rejected = (!problems.is_empty()).then_some(Rejected { found, problems });
        Some(Held { context, parts, rejected })
    }
}

impl Rejected {
    /// Whether a problem was there before, of files that have not changed since.
    fn has_known(&self, problem: &FileProblem, found: &Fingerprints) -> bool {
        let part = problem.setting;
        self.problems.contains(problem) && self.found.of_part(part) == found.of_part(part)
    }
}

/// What one look has found, each told once however many profiles it concerns.
#[derive(Debug, Default)]
struct News {
    /// Files whose new content is in force.
    taken_over: BTreeSet<String>,
    /// Files that were unusable and are again as they were before.
    restored: BTreeSet<String>,
    /// What is wrong with files that have just changed.
    rejected: BTreeSet<String>,
    /// What was wrong with files before, and still is.
    unusable: BTreeSet<String>,
}

impl News {
    /// Logs what is new, and tells how many files cannot be used.
    fn tell(&self) -> usize {
        let listed = |names: &BTreeSet<String>| names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        if !self.taken_over.is_empty() {
            info!(files = listed(&self.taken_over), "Took over changed files of TLS");
        }
        if !self.restored.is_empty() {
            info!(files = listed(&self.restored), "Files of TLS are again as they were before");
        }
        for fault in &self.rejected {
            warn!(fault, "Cannot use a changed file of TLS, what was read before stays in force");
        }
        self.unusable.union(&self.rejected).count()
    }
}

fn messages(problems: &[FileProblem]) -> impl Iterator<Item = String> + '_ {
    problems.iter().map(|problem| problem.message.clone())
}

/// The names of the sources of a profile that have changed.
fn differing(profile: &TlsProfile, before: &Fingerprints, after: &Fingerprints) -> Vec<String> {
    let files = files(profile).map(|(setting, path)| (setting, path.display().to_string()));
    let sources = files.chain([(TlsFile::Roots, "the roots of this machine".to_owned())]);
    sources.filter(|(setting, _)| before.get(*setting) != after.get(*setting)).map(|(_, name)| name).collect()
}
