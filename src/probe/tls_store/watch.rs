//! Files that change while the daemon runs: renewed certificates, rotated roots, new revocation lists.
//!
//! A file that cannot be used leaves its loaded content in use, but does not keep other files from being reloaded; a client
//! certificate and its key are one.

use std::sync::Arc;

use super::contents::{FileContents, Fingerprints, named_files};
use super::{Rejected, Stored, TlsStore};
use crate::files::watch::{Changes, Watched, watch};
use crate::locks::{read, write};
use crate::target::{FileProblem, Roots, TlsFile, TlsProfile};

impl TlsStore {
    /// Reloads changed files of all profiles. Never ends by itself.
    ///
    /// Calls `failed` at each check, once for every file that has changed and cannot be used.
    pub async fn watch(self: &Arc<Self>, failed: &(dyn Fn() + Sync)) {
        watch(self, self.period, failed).await;
    }

    /// What is to be held of a profile from now on; none where all is as it was when last looked at.
    fn compare(
        &self,
        profile: &TlsProfile,
        held: &Stored,
        snapshot: &mut FileContents,
        changes: &mut Changes,
    ) -> Option<Stored> {
        let (found, made_of) = (snapshot.fingerprints(profile), held.parts.made_of());
        match &held.rejected {
            Some(rejected) if rejected.found == found => {
                changes.unusable.extend(messages(&rejected.problems));
                return None;
            }
            Some(rejected) if made_of == found => {
                changes.restored.extend(differing(profile, &rejected.found, &found));
                return Some(Stored { rejected: None, ..held.clone() });
            }
            None if made_of == found => return None,
            Some(_) | None => {}
        }
        let (parts, problems) = self.workshop.make(profile, snapshot, Some(&held.parts));
        let parts = parts.unwrap_or_else(|| held.parts.clone());
        let taken_over = differing(profile, &made_of, &parts.made_of());
        let context = if taken_over.is_empty() { held.context.clone() } else { self.context_of(profile, &parts) };
        changes.reloaded.extend(taken_over);
        let is_known =
            |problem: &FileProblem| held.rejected.as_ref().is_some_and(|rejected| rejected.has_known(problem, &found));
        changes.rejected.extend(messages(problems.iter().filter(|problem| !is_known(problem))));
        changes.unusable.extend(messages(&problems));
        let rejected = (!problems.is_empty()).then_some(Rejected { found, problems });
        Some(Stored { context, parts, rejected })
    }
}

impl Watched for TlsStore {
    const KIND: &'static str = "TLS";

    fn is_empty(&self) -> bool {
        !read(&self.held).keys().any(|profile| profile.roots == Roots::System || named_files(profile).next().is_some())
    }

    /// Applies all changes at once.
    fn refresh(&self) -> Changes {
        let known: Vec<_> = read(&self.held).iter().map(|(profile, held)| (profile.clone(), held.clone())).collect();
        let (mut snapshot, mut changes) = (FileContents::default(), Changes::default());
        let changed: Vec<_> = known
            .into_iter()
            .filter_map(|(profile, held)| Some((self.compare(&profile, &held, &mut snapshot, &mut changes)?, profile)))
            .collect();
        let mut held = write(&self.held);
        for (changed, profile) in changed {
            // One that was forgotten meanwhile stays so.
            if let Some(slot) = held.get_mut(&profile) {
                *slot = changed;
            }
        }
        changes
    }
}

impl Rejected {
    /// Whether a problem was there before, of files that have not changed since.
    fn has_known(&self, problem: &FileProblem, found: &Fingerprints) -> bool {
        let part = problem.setting;
        self.problems.contains(problem) && self.found.of_part(part) == found.of_part(part)
    }
}

fn messages<'a>(problems: impl IntoIterator<Item = &'a FileProblem>) -> impl Iterator<Item = String> {
    problems.into_iter().map(|problem| problem.message.clone())
}

/// The names of the sources of a profile that have changed.
fn differing(profile: &TlsProfile, before: &Fingerprints, after: &Fingerprints) -> Vec<String> {
    let files = named_files(profile).map(|(setting, path)| (setting, path.display().to_string()));
    let sources = files.chain([(TlsFile::Roots, "the roots of this machine".to_owned())]);
    sources.filter(|(setting, _)| before.get(*setting) != after.get(*setting)).map(|(_, name)| name).collect()
}
