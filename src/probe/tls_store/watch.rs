//! Detects changes of TLS files: renewed certificates, rotated roots, new revocation lists.
//!
//! If a file cannot be used, its last good content stays in use, and other files are still reloaded. A client
//! certificate and its key are reloaded together.

use std::sync::Arc;

use super::contents::{FileContents, Fingerprints, named_files};
use super::{Rejected, Stored, TlsStore};
use crate::files::watch::{Changes, Watched, watch};
use crate::locks::{read, write};
use crate::target::{FileProblem, Roots, TlsFile, TlsProfile};

impl TlsStore {
    /// Reloads changed files of all profiles. Never returns.
    ///
    /// At each check, calls `failed` once for every changed file that cannot be used.
    pub async fn watch(self: &Arc<Self>, failed: &(dyn Fn() + Sync)) {
        watch(self, self.period, failed).await;
    }

    /// Returns the new state of a profile; `None` if nothing has changed since the last check.
    fn compare(
        &self,
        profile: &TlsProfile,
        stored: &Stored,
        contents: &mut FileContents,
        changes: &mut Changes,
    ) -> Option<Stored> {
        let (found, made_of) = (contents.fingerprints(profile), stored.components.made_of());
        match &stored.rejected {
            Some(rejected) if rejected.found == found => {
                changes.unusable.extend(messages(&rejected.problems));
                return None;
            }
            Some(rejected) if made_of == found => {
                changes.restored.extend(differing(profile, &rejected.found, &found));
                return Some(Stored { rejected: None, ..stored.clone() });
            }
            None if made_of == found => return None,
            Some(_) | None => {}
        }
        let (components, problems) = self.loader.make(profile, contents, Some(&stored.components));
        let components = components.unwrap_or_else(|| stored.components.clone());
        let reloaded = differing(profile, &made_of, &components.made_of());
        let context = if reloaded.is_empty() { stored.context.clone() } else { self.context_of(profile, &components) };
        changes.reloaded.extend(reloaded);
        let is_known = |problem: &FileProblem| {
            stored
                .rejected
                .as_ref()
                .is_some_and(|rejected| rejected.has_known(problem, &found))
        };
        changes
            .rejected
            .extend(messages(problems.iter().filter(|problem| !is_known(problem))));
        changes.unusable.extend(messages(&problems));
        let rejected = (!problems.is_empty()).then_some(Rejected { found, problems });
        Some(Stored { context, components, rejected })
    }
}

impl Watched for TlsStore {
    const KIND: &'static str = "TLS";

    fn is_empty(&self) -> bool {
        !read(&self.stored)
            .keys()
            .any(|profile| profile.roots == Roots::System || named_files(profile).next().is_some())
    }

    /// Applies all changes at once.
    fn refresh(&self) -> Changes {
        let known: Vec<_> = read(&self.stored)
            .iter()
            .map(|(profile, stored)| (profile.clone(), stored.clone()))
            .collect();
        let (mut contents, mut changes) = (FileContents::default(), Changes::default());
        let changed: Vec<_> = known
            .into_iter()
            .filter_map(|(profile, stored)| {
                Some((self.compare(&profile, &stored, &mut contents, &mut changes)?, profile))
            })
            .collect();
        let mut stored = write(&self.stored);
        for (changed, profile) in changed {
            // A profile that was dropped meanwhile stays dropped.
            if let Some(slot) = stored.get_mut(&profile) {
                *slot = changed;
            }
        }
        changes
    }
}

impl Rejected {
    /// Returns whether the problem is known and its files have not changed since then.
    fn has_known(&self, problem: &FileProblem, found: &Fingerprints) -> bool {
        let component = problem.setting;
        self.problems.contains(problem) && self.found.of_part(component) == found.of_part(component)
    }
}

fn messages<'a>(problems: impl IntoIterator<Item = &'a FileProblem>) -> impl Iterator<Item = String> {
    problems.into_iter().map(|problem| problem.message.clone())
}

/// Returns the names of the sources of a profile that have changed.
fn differing(profile: &TlsProfile, before: &Fingerprints, after: &Fingerprints) -> Vec<String> {
    let files = named_files(profile).map(|(setting, path)| (setting, path.display().to_string()));
    let sources = files.chain([(TlsFile::Roots, "the roots of this machine".to_owned())]);
    sources
        .filter(|(setting, _)| before.get(*setting) != after.get(*setting))
        .map(|(_, name)| name)
        .collect()
}
