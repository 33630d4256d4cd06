//! Checks the files of discovery sources. Sources of other kinds are not contacted.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::app::LoadedFiles;
use crate::config::{
    Candidate, CheckedKey, Config, Diagnostic, Discovered, EntryError, Source, SourceKind, Unreadable,
};
use crate::discovery;
use crate::target::{Target, TargetName};

/// The result of the check.
#[derive(Debug, Default)]
pub(super) struct DiscoveredTargets {
    /// Each name once, without those of the configuration.
    pub(super) targets: Vec<Arc<Target>>,
    /// Files and entries that the daemon skips.
    pub(super) problems: Vec<Diagnostic>,
    /// Entries that work but may be a mistake, and sources without files.
    pub(super) warnings: Vec<Diagnostic>,
}

/// Reads the files of every source of a configuration at `path` with this text, and with `files` the files that their
/// entries name.
pub(super) fn check(config: &Config, path: &Path, text: &str, files: Option<&LoadedFiles>) -> DiscoveredTargets {
    let owner = path.display().to_string();
    let names = config
        .targets
        .iter()
        .map(|target| (target.name.clone(), owner.clone()))
        .collect();
    let mut checker = Checker { config, files, names, of_keys: Vec::new(), found: DiscoveredTargets::default() };
    for (index, source) in config.discovery.iter().enumerate() {
        let SourceKind::File { pattern } = &source.kind else { continue };
        match discovery::files_of(pattern) {
            Ok(paths) if paths.is_empty() => checker.warn_missing(index, "no file matches"),
            Ok(paths) => paths.iter().for_each(|file| checker.check_file(source, file)),
            Err(error) => checker.warn_missing(index, &error.to_string()),
        }
    }
    checker.check_limit();
    let Checker { of_keys, mut found, .. } = checker;
    found.warnings.splice(0..0, CheckedKey::locate(of_keys, path, text));
    found
}

struct Checker<'a> {
    config: &'a Config,
    /// `None` if only the syntax is checked.
    files: Option<&'a LoadedFiles>,
    /// The file that has the target with this name.
    names: HashMap<TargetName, String>,
    /// Warnings about keys of the configuration.
    of_keys: Vec<(CheckedKey, String)>,
    found: DiscoveredTargets,
}

impl Checker<'_> {
    /// Warns that a source has no files. They may be on another machine if only the syntax is checked.
    fn warn_missing(&mut self, source: usize, problem: &str) {
        if self.files.is_some() {
            let message = format!("{problem}; the source has no targets until a file exists");
            self.of_keys.push((CheckedKey::DiscoveryFile(source), message));
        }
    }

    fn check_file(&mut self, source: &Source, file: &Path) {
        match discovery::read_file(file) {
            Ok((text, entries)) => {
                let (errors, mut warnings) = self.check_entries(source, file, &entries);
                warnings.extend(self.config.discovery_context.module_labels(&entries));
                self.found.problems.extend(EntryError::locate(errors, file, &text));
                self.found.warnings.extend(EntryError::locate(warnings, file, &text));
            }
            Err(error) => self.found.problems.push(Diagnostic {
                file: Some(file.into()),
                position: None,
                key: String::new(),
                message: error.to_string(),
            }),
        }
    }

    /// Checks entries; returns their errors and warnings.
    fn check_entries(
        &mut self,
        source: &Source,
        file: &Path,
        entries: &[Discovered],
    ) -> (Vec<EntryError>, Vec<EntryError>) {
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        for candidate in self.config.discovery_context.candidates(source, entries) {
            let usable = candidate.and_then(|candidate| match self.unreadable(&candidate) {
                Some(error) => Err(candidate.error(&error)),
                None => Ok(candidate),
            });
            match usable {
                Ok(candidate) => {
                    for target in candidate.targets() {
                        match target {
                            Ok(target) => warnings.extend(self.add(target, file).map(|taken| candidate.error(&taken))),
                            Err(error) => errors.push(error),
                        }
                    }
                }
                Err(error) => errors.push(error),
            }
        }
        (errors, warnings)
    }

    /// Returns the first error of the files that a candidate names.
    fn unreadable(&self, candidate: &Candidate<'_>) -> Option<String> {
        let files = self.files?;
        let mut required = candidate.required().into_iter();
        required.find_map(|required| files.read(&required).err().map(Unreadable::into_message))
    }

    /// Adds a target, or returns why it is skipped.
    fn add(&mut self, target: Arc<Target>, file: &Path) -> Option<String> {
        if let Some(owner) = self.names.get(&target.name) {
            return Some(format!("duplicate target name `{}`, also used by {owner}; this one is skipped", target.name));
        }
        self.names.insert(target.name.clone(), file.display().to_string());
        self.found.targets.push(target);
        None
    }

    fn check_limit(&mut self) {
        let Some(limit) = self.config.limits.targets else { return };
        let count = self.config.targets.len() + self.found.targets.len();
        if usize::try_from(limit.get()).is_ok_and(|limit| count > limit) {
            let message = format!(
                "allows {limit} targets, but there are {count} with the discovered ones, so the last ones are skipped; \
                 raise it, or set it to 0 for no limit"
            );
            self.of_keys.push((CheckedKey::TargetLimit, message));
        }
    }
}
