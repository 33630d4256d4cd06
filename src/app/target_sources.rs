//! The sources of targets: the configuration file and its discovery sources.
//!
//! The input is the entries of sources, the output merged targets and errors. With very many targets everything here takes
//! seconds, so it runs off the thread that probes. Files are not read here, because that may never end: targets are built
//! once the files that they need are loaded or known to be unreadable.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use super::discovered_files::ReadFiles;
use super::loaded_files::LoadedFiles;
use crate::board::SourceStatus;
use crate::config::{Candidate, Capacity, Discovered, DiscoveryContext, Required, Source, SourceKind};
use crate::mass_removal::MassRemoval;
use crate::target::{Target, TargetName, TlsProfile};

/// Every target, by its source.
#[derive(Debug, Default)]
pub(super) struct TargetSources {
    file: Vec<Arc<Target>>,
    limit: Option<NonZeroU32>,
    context: Option<Arc<DiscoveryContext>>,
    /// In the order of the configuration.
    discovered: Vec<SourceState>,
    /// The files that could not be read, with the errors.
    unreadable: HashMap<Required, String>,
}

/// One discovery source.
#[derive(Debug)]
struct SourceState {
    source: Source,
    /// Its last entries.
    entries: Arc<[Discovered]>,
    /// Whether the targets must be built again.
    is_stale: bool,
    /// The targets that were built from them.
    built: BuiltTargets,
    /// The targets that were skipped because of other sources.
    skipped: SkippedTargets,
    /// Whether the skipped entries and targets have changed since they were last reported.
    is_unreported: bool,
    failures: u64,
    /// The errors of the last refresh.
    errors: Vec<String>,
}

/// The targets of one source.
#[derive(Debug, Default)]
struct BuiltTargets {
    targets: Vec<Arc<Target>>,
    /// A line for the log for each entry or URL that was skipped.
    invalid: Vec<String>,
    /// A line for the log for each entry that may be a mistake.
    warnings: Vec<String>,
    /// The files that could not be read, so that targets were skipped.
    unreadable: Vec<Required>,
}

/// Targets of one source that another source or the limit excludes.
#[derive(Debug, Default, Eq, PartialEq)]
struct SkippedTargets {
    count: usize,
    /// The first ones, a line for the log each.
    lines: Vec<String>,
}

impl SkippedTargets {
    fn add(&mut self, line: impl FnOnce() -> String) {
        self.count += 1;
        if self.lines.len() < MAX_SKIPPED_LINES {
            self.lines.push(line());
        }
    }
}

/// Skipped entries and targets of one source, with reasons.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Unreported {
    pub(super) source: Arc<str>,
    /// A line for each skipped entry or target; of very many, the first.
    pub(super) skipped: Vec<String>,
    /// The number of skipped entries and targets.
    pub(super) count: usize,
    /// A line for each entry that may be a mistake.
    pub(super) warnings: Vec<String>,
}

/// The targets of all sources.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// Each name once: first those of the file, then those of the discovery sources in their order.
    pub(super) targets: Vec<Arc<Target>>,
    /// The status of each discovery source, for its metrics.
    pub(super) statuses: Vec<SourceStatus>,
}

/// How the status of a discovery source has changed.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum StatusChange<'a> {
    /// Its refresh failed, or a part of it, with other errors than before.
    Failed(&'a [String]),
    /// Its refresh succeeded after a failure.
    Recovered,
    /// The same as before.
    Unchanged,
}

impl TargetSources {
    /// Applies another configuration. Sources keep their entries, from which [`Self::build`] builds targets again.
    pub(super) fn configure(
        &mut self,
        targets: Vec<Arc<Target>>,
        limit: Option<NonZeroU32>,
        context: Arc<DiscoveryContext>,
        sources: &[Source],
    ) {
        self.file = targets;
        self.limit = limit;
        let mut before = std::mem::take(&mut self.discovered);
        for source in sources {
            // By name, so that a source keeps its entries if only its period or its credentials change.
            let known = before.iter().position(|state| state.source.name == source.name);
            self.discovered.push(match known.map(|place| before.swap_remove(place)) {
                Some(known) => SourceState { source: source.clone(), is_stale: true, ..known },
                None => SourceState::new(source.clone()),
            });
        }
        self.context = Some(context);
        self.unreadable.clear();
    }

    /// Returns the removal that a configuration with these targets and sources would cause, if it removes most targets.
    /// Sources that stay keep their targets.
    pub(super) fn mass_removal(&self, targets: &[Arc<Target>], sources: &[Source]) -> Option<MassRemoval> {
        let stays = |state: &&SourceState| sources.iter().any(|source| source.name == state.source.name);
        let discovered = self.discovered.iter();
        let before = self.file.iter().chain(discovered.clone().flat_map(SourceState::targets));
        let after = targets.iter().chain(discovered.filter(stays).flat_map(SourceState::targets));
        MassRemoval::between(&names(before), &names(after))
    }

    /// Replaces the entries of a source, from which [`Self::build`] builds targets.
    pub(super) fn update(&mut self, source: &Source, entries: Arc<[Discovered]>) {
        let Some(state) = self.state(source) else { return };
        state.entries = entries;
        state.is_stale = true;
        // Its files are read again, because they may have been written together with the source.
        for required in std::mem::take(&mut state.built.unreadable) {
            self.unreadable.remove(&required);
        }
    }

    /// Builds the targets of each source that has changed. A source stays as before if some of its files were never
    /// read; these are returned, so that [`Self::record_read`] can be called.
    pub(super) fn build(&mut self, files: &LoadedFiles) -> HashSet<Required> {
        let Some(context) = &self.context else { return HashSet::new() };
        let stale = self.discovered.iter_mut().filter(|state| state.is_stale);
        stale.flat_map(|state| state.build(context, files, &self.unreadable)).collect()
    }

    /// Records which files can be read. Returns whether [`Self::build`] would add targets that lacked one of them.
    pub(super) fn record_read(&mut self, read: &ReadFiles) -> bool {
        let mut is_changed = false;
        for (required, result) in read {
            if let Err(error) = result {
                self.unreadable.insert(required.clone(), error.clone());
                continue;
            }
            self.unreadable.remove(required);
            for state in self
                .discovered
                .iter_mut()
                .filter(|state| state.built.unreadable.contains(required))
            {
                (state.is_stale, is_changed) = (true, true);
            }
        }
        is_changed
    }

    /// Returns the skipped entries and targets of each source for which they have changed since the last call.
    pub(super) fn unreported(&mut self) -> Vec<Unreported> {
        let mut unreported = Vec::new();
        for state in &mut self.discovered {
            if std::mem::take(&mut state.is_unreported) {
                unreported.push(Unreported {
                    source: state.source.name.clone(),
                    skipped: [&*state.built.invalid, &state.skipped.lines].concat(),
                    count: state.built.invalid.len() + state.skipped.count,
                    warnings: state.built.warnings.clone(),
                });
            }
        }
        unreported
    }

    /// Records the errors of a refresh, none if it succeeded. Returns the change, so that the same error is logged once
    /// and not at each refresh.
    pub(super) fn record_status(&mut self, source: &Source, errors: Vec<String>) -> StatusChange<'_> {
        let Some(state) = self.state(source) else { return StatusChange::Unchanged };
        state.failures += u64::from(!errors.is_empty());
        let before = std::mem::replace(&mut state.errors, errors);
        match &state.errors {
            now if *now == before => StatusChange::Unchanged,
            now if now.is_empty() => StatusChange::Recovered,
            now => StatusChange::Failed(now),
        }
    }

    /// Returns the number of refreshes of a source that failed, at least in part.
    pub(super) fn failures(&self, source: &Source) -> u64 {
        self.find(source).map_or(0, |state| state.failures)
    }

    /// Returns whether a source has targets.
    pub(super) fn has_targets(&self, source: &Source) -> bool {
        self.find(source).is_some_and(|state| !state.targets().is_empty())
    }

    /// Returns the files because of which targets were skipped.
    pub(super) fn unreadable(&self) -> HashSet<Required> {
        self.discovered
            .iter()
            .flat_map(|state| state.built.unreadable.clone())
            .collect()
    }

    /// Returns whether targets were skipped because of a file.
    pub(super) fn lack_files(&self) -> bool {
        self.discovered.iter().any(|state| !state.built.unreadable.is_empty())
    }

    /// Merges the targets of all sources: the first with a name wins, and the limit applies to all together.
    pub(super) fn merge(&mut self) -> Merged {
        // The source of each name; `None` is the configuration file.
        let mut names: HashMap<TargetName, Option<Arc<str>>> =
            self.file.iter().map(|target| (target.name.clone(), None)).collect();
        let mut merged = Merged { targets: self.file.clone(), statuses: Vec::with_capacity(self.discovered.len()) };
        let limit = self
            .limit
            .and_then(|limit| usize::try_from(limit.get()).ok())
            .unwrap_or(usize::MAX);
        for state in &mut self.discovered {
            let (before, mut skipped) = (merged.targets.len(), SkippedTargets::default());
            for target in &state.built.targets {
                let name = &target.name;
                if let Some(owner) = names.get(name) {
                    let owner = owner.as_deref().unwrap_or("the configuration file");
                    skipped.add(|| format!("duplicate target name `{name}`, also used by {owner}"));
                } else if merged.targets.len() >= limit {
                    skipped.add(|| format!("`{name}` is skipped because `limits.targets` is {limit}"));
                } else {
                    names.insert(name.clone(), Some(state.source.name.clone()));
                    merged.targets.push(target.clone());
                }
            }
            merged.statuses.push(SourceStatus {
                name: state.source.name.clone(),
                targets: merged.targets.len() - before,
                invalid: state.built.invalid.len() + skipped.count,
                failures: state.failures,
            });
            state.is_unreported |= skipped != state.skipped;
            state.skipped = skipped;
        }
        merged
    }

    /// Returns the TLS profiles that targets and sources use.
    pub(super) fn tls_profiles(&self) -> HashSet<Arc<TlsProfile>> {
        let discovered = self.discovered.iter().flat_map(|state| &state.built.targets);
        let of_targets = self
            .file
            .iter()
            .chain(discovered)
            .filter_map(|target| target.settings.probe_kind.tls());
        let of_sources = self.discovered.iter().filter_map(|state| match &state.source.kind {
            SourceKind::Http(address) => Some(&address.tls),
            SourceKind::Dns { .. } | SourceKind::File { .. } => None,
        });
        of_targets
            .map(|tls| &tls.settings)
            .chain(of_sources)
            .map(|settings| settings.profile.clone())
            .collect()
    }

    fn find(&self, source: &Source) -> Option<&SourceState> {
        self.discovered.iter().find(|state| state.source == *source)
    }

    fn state(&mut self, source: &Source) -> Option<&mut SourceState> {
        self.discovered.iter_mut().find(|state| state.source == *source)
    }
}

impl SourceState {
    fn new(source: Source) -> Self {
        Self {
            source,
            entries: Arc::default(),
            is_stale: true,
            built: BuiltTargets::default(),
            skipped: SkippedTargets::default(),
            is_unreported: false,
            failures: 0,
            errors: Vec::new(),
        }
    }

    fn targets(&self) -> &[Arc<Target>] {
        &self.built.targets
    }

    /// Builds the targets of the last entries without those whose files cannot be read. If there are files that were
    /// never read, returns them and changes nothing.
    fn build(
        &mut self,
        context: &DiscoveryContext,
        files: &LoadedFiles,
        unreadable: &HashMap<Required, String>,
    ) -> HashSet<Required> {
        let mut targets = context.targets();
        let mut needed = NeededFiles { files, unreadable, errors: HashMap::new(), unread: HashSet::new() };
        for candidate in context.candidates(&self.source, &self.entries) {
            let readable = candidate.and_then(|candidate| match needed.first_error(&candidate) {
                Some(error) => Err(candidate.error(&error)),
                None => Ok(candidate),
            });
            match readable {
                Ok(candidate) if targets.add(&candidate) == Capacity::Exhausted => break,
                Ok(_) => {}
                Err(error) => targets.skip(error),
            }
        }
        let NeededFiles { errors, unread, .. } = needed;
        if !unread.is_empty() {
            return unread;
        }
        let (targets, invalid) = targets.finish();
        let invalid: Vec<_> = invalid.iter().map(ToString::to_string).collect();
        let warnings = context.module_labels(&self.entries).take(MAX_SKIPPED_LINES);
        let warnings: Vec<_> = warnings.map(|warning| warning.to_string()).collect();
        let unreadable = errors
            .into_iter()
            .filter_map(|(required, error)| error.map(|_| required))
            .collect();
        self.is_unreported |= invalid != self.built.invalid || warnings != self.built.warnings;
        self.built = BuiltTargets { targets, invalid, warnings, unreadable };
        self.is_stale = false;
        unread
    }
}

fn names<'a>(targets: impl Iterator<Item = &'a Arc<Target>>) -> HashSet<&'a TargetName> {
    targets.map(|target| &target.name).collect()
}

/// The files that the targets of a source need.
struct NeededFiles<'a> {
    files: &'a LoadedFiles,
    unreadable: &'a HashMap<Required, String>,
    /// The error of each file that is needed; `None` if it can be used.
    errors: HashMap<Required, Option<String>>,
    /// The files that were never read.
    unread: HashSet<Required>,
}

impl NeededFiles<'_> {
    /// Returns the first error of the files of a target.
    fn first_error(&mut self, candidate: &Candidate<'_>) -> Option<String> {
        candidate.required().into_iter().find_map(|required| {
            if let Some(error) = self.errors.get(&required) {
                return error.clone();
            }
            let is_loaded = self.files.reuse(&required);
            let error = self.unreadable.get(&required).filter(|_| !is_loaded).cloned();
            if !is_loaded && error.is_none() {
                self.unread.insert(required.clone());
            }
            self.errors.insert(required, error.clone());
            error
        })
    }
}

/// More lines than are logged of one source.
const MAX_SKIPPED_LINES: usize = 100;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Config, Unreadable};

    const CONFIG: &str = "\
limits: { targets: 5 }
targets: ['a:1']
discovery: [{ file: one.json }, { file: two.json }]
";

    fn config(text: &str) -> Config {
        config::parse(text, Path::new("portprobe.yaml"), &|_| None)
            .unwrap()
            .finish(&[])
            .unwrap()
    }

    fn apply(sources: &mut TargetSources, config: &Config, files: &LoadedFiles) {
        let Config { targets, limits, discovery_context, discovery, .. } = config.clone();
        sources.configure(targets, limits.targets, discovery_context, &discovery);
        build(sources, files);
    }

    /// Builds the targets of changed sources, after their files have been read.
    fn build(sources: &mut TargetSources, files: &LoadedFiles) {
        let unread = sources.build(files);
        sources.record_read(&read(unread, files));
        assert!(sources.build(files).is_empty());
    }

    fn read(required: HashSet<Required>, files: &LoadedFiles) -> ReadFiles {
        let read = |required| {
            let result = files.read(&required).map_err(Unreadable::into_message);
            (required, result)
        };
        required.into_iter().map(read).collect()
    }

    /// Reads unreadable files again. Returns whether a target was added.
    fn retry_files(sources: &mut TargetSources, files: &LoadedFiles) -> bool {
        let read = read(sources.unreadable(), files);
        let is_changed = sources.record_read(&read);
        build(sources, files);
        is_changed
    }

    fn update(sources: &mut TargetSources, source: &Source, entries: Arc<[Discovered]>, files: &LoadedFiles) {
        sources.update(source, entries);
        build(sources, files);
    }

    fn entries(text: &str) -> Arc<[Discovered]> {
        config::discovered(text).unwrap().into()
    }

    fn merged_names(merged: &Merged) -> Vec<&str> {
        merged.targets.iter().map(|target| target.name.as_str()).collect()
    }

    #[test]
    fn the_first_of_two_equal_names_wins() {
        let (mut sources, files) = (TargetSources::default(), LoadedFiles::default());
        let config = config(CONFIG);
        apply(&mut sources, &config, &files);
        assert_eq!(merged_names(&sources.merge()), ["tcp://a:1"]);
        update(&mut sources, &config.discovery[1], entries("[b:1, c:1, 'bad:0']"), &files);
        assert!(sources.unreported()[0].skipped[0].contains("port 0"));
        update(&mut sources, &config.discovery[1], entries("[c:1, b:1, 'bad:0']"), &files);
        update(&mut sources, &config.discovery[1], entries("[b:1, c:1, 'bad:0']"), &files);
        assert_eq!(sources.unreported(), [], "an error is reported once");
        update(&mut sources, &config.discovery[0], entries("[c:1, 'a:1']"), &files);
        sources.record_status(&config.discovery[1], vec!["gone".to_owned()]);
        let merged = sources.merge();
        assert_eq!(merged_names(&merged), ["tcp://a:1", "tcp://c:1", "tcp://b:1"]);
        let counts: Vec<_> = merged
            .statuses
            .iter()
            .map(|status| (status.targets, status.invalid, status.failures))
            .collect();
        assert_eq!(counts, [(1, 1, 0), (1, 2, 1)], "{merged:?}");
    }

    #[test]
    fn a_skipped_target_is_reported_once() {
        let (mut sources, files) = (TargetSources::default(), LoadedFiles::default());
        let config = config(CONFIG);
        apply(&mut sources, &config, &files);
        update(&mut sources, &config.discovery[0], entries("['b:1', 'b:2']"), &files);
        update(&mut sources, &config.discovery[1], entries("['a:1', 'b:1', 'c:1-3']"), &files);
        sources.merge();
        let [Unreported { source, skipped, count, .. }] = &*sources.unreported() else { panic!("one source") };
        assert_eq!((&**source, *count), ("file:two.json", 3));
        let expected = [
            "duplicate target name `tcp://a:1`, also used by the configuration file",
            "duplicate target name `tcp://b:1`, also used by file:one.json",
            "`tcp://c:3` is skipped because `limits.targets` is 5",
        ];
        assert_eq!(*skipped, expected);
        sources.merge();
        assert_eq!(sources.unreported(), []);
    }

    #[test]
    fn every_kind_of_skipped_entry_is_reported() {
        let (mut sources, files) = (TargetSources::default(), LoadedFiles::default());
        let config = config(CONFIG);
        apply(&mut sources, &config, &files);
        let many = (0..65).map(|index| format!("l{index}: x")).collect::<Vec<_>>().join(", ");
        let long = "x".repeat(513);
        let one = format!(
            "['b:1', 'b:1', 'a:1', {{ url: 'c:1', labels: {{ {many} }} }}, {{ url: 'c:1', labels: {{ l: {long} }} }},
              {{ targets: ['c:1', 'c:x'], labels: {{ team: a }} }}, {{ url: 'c:2', module: none }}]"
        );
        update(&mut sources, &config.discovery[0], entries(&one), &files);
        update(&mut sources, &config.discovery[1], entries("['b:1', 'd:1-3', 'e:1']"), &files);
        assert_eq!(merged_names(&sources.merge()), ["tcp://a:1", "tcp://b:1", "tcp://c:1", "tcp://d:1", "tcp://d:2"]);
        let unreported = sources.unreported();
        let [first, second] = &*unreported else { panic!("{unreported:?}") };
        let expected = [
            "entry 2, `b:1`: duplicate target name `tcp://b:1`, also used by entry 1",
            "entry 4, `c:1`: labels: results in 65 labels; must be at most 64",
            "entry 5, `c:1`: labels.l: ",
            "entry 6, `c:x`: ",
            "entry 7, `c:2`: module: unknown module `none`",
            "duplicate target name `tcp://a:1`, also used by the configuration file",
        ];
        for (line, start) in first.skipped.iter().zip(expected) {
            assert!(line.starts_with(start), "{line}");
        }
        assert_eq!((first.skipped.len(), first.count), (expected.len(), expected.len()), "{first:?}");
        let expected = [
            "duplicate target name `tcp://b:1`, also used by file:one.json",
            "`tcp://d:3` is skipped because `limits.targets` is 5",
            "`tcp://e:1` is skipped because `limits.targets` is 5",
        ];
        assert_eq!(second.skipped, expected);
        sources.merge();
        assert_eq!(sources.unreported(), [], "once");
        update(&mut sources, &config.discovery[0], entries("['c:1-9']"), &files);
        sources.merge();
        let limit = "entry 1, `c:1-9`: skipped, like all later entries: `limits.targets` is 5";
        assert!(sources.unreported()[0].skipped[0].starts_with(limit));
    }

    #[test]
    fn a_label_that_names_a_module_is_reported() {
        let (mut sources, files) = (TargetSources::default(), LoadedFiles::default());
        let config = config("modules: { web: {} }\ndiscovery: [{ file: one.json }]\n");
        apply(&mut sources, &config, &files);
        let text = "[ { targets: ['a:1'], labels: { module: web } }, { targets: ['b:1'], labels: { module: other } },
                      { targets: ['c:1'], labels: { module: web, __param_module: web } },
                      { url: 'd:1', labels: { module: web } }, { url: 'e:1', module: web, labels: { module: web } } ]";
        update(&mut sources, &config.discovery[0], entries(text), &files);
        let expected = [
            "entry 1, `a:1`: the label `module` does not apply the module `web`; to apply it, use the label `__param_module`",
            "entry 4, `d:1`: the label `module` does not apply the module `web`; to apply it, set the key `module`",
        ];
        assert_eq!(sources.unreported()[0].warnings, expected);
        assert_eq!(sources.merge().targets.len(), 5);
    }

    #[test]
    fn only_changes_of_status_are_reported() {
        let mut sources = TargetSources::default();
        let config = config(CONFIG);
        apply(&mut sources, &config, &LoadedFiles::default());
        let source = &config.discovery[0];
        let why = |why: &str| vec![why.to_owned()];
        assert_eq!(sources.record_status(source, Vec::new()), StatusChange::Unchanged);
        assert_eq!(sources.record_status(source, why("refused")), StatusChange::Failed(&why("refused")));
        assert_eq!(sources.record_status(source, why("refused")), StatusChange::Unchanged);
        assert_eq!(sources.record_status(source, why("HTML")), StatusChange::Failed(&why("HTML")));
        assert_eq!(sources.record_status(source, Vec::new()), StatusChange::Recovered);
        assert_eq!(sources.failures(source), 3);
    }

    #[test]
    fn a_missing_certificate_file_is_retried() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let (mut sources, files) = (TargetSources::default(), LoadedFiles::default());
        let config = config(CONFIG);
        apply(&mut sources, &config, &files);
        let entry = format!("[{{ url: 'tls://b:1', tls: {{ ca_file: '{}' }} }}]", file.display());
        update(&mut sources, &config.discovery[0], entries(&entry), &files);
        assert!(sources.lack_files() && !retry_files(&mut sources, &files));
        assert_eq!(merged_names(&sources.merge()), ["tcp://a:1"]);
        let key = rcgen::KeyPair::generate().unwrap();
        let authority = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        std::fs::write(&file, authority.pem()).unwrap();
        assert!(retry_files(&mut sources, &files) && !sources.lack_files());
        assert_eq!(merged_names(&sources.merge()), ["tcp://a:1", "tls://b:1"]);
    }

    #[test]
    fn a_source_waits_for_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "one").unwrap();
        let (mut sources, files) = (TargetSources::default(), LoadedFiles::default());
        let config = config(CONFIG);
        apply(&mut sources, &config, &files);
        update(&mut sources, &config.discovery[0], entries("['b:1']"), &files);
        let entry = format!("[{{ url: 'http://b', http: {{ headers_files: {{ x-a: '{}' }} }} }}]", token.display());
        sources.update(&config.discovery[0], entries(&entry));
        let unread = sources.build(&files);
        assert_eq!(unread.len(), 1);
        assert_eq!(merged_names(&sources.merge()), ["tcp://a:1", "tcp://b:1"], "the targets are as before");
        assert_eq!(sources.unreported(), []);
        let hanging = unread
            .into_iter()
            .map(|required| (required, Err("the file hangs".to_owned())))
            .collect();
        sources.record_read(&hanging);
        assert!(sources.build(&files).is_empty() && sources.lack_files());
        assert_eq!(merged_names(&sources.merge()), ["tcp://a:1"]);
        assert!(sources.unreported()[0].skipped[0].contains("the file hangs"));
        assert!(retry_files(&mut sources, &files));
        assert_eq!(merged_names(&sources.merge()), ["tcp://a:1", "http://b:80"]);
    }

    #[test]
    fn a_missing_header_file_is_retried() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        let (mut sources, files) = (TargetSources::default(), LoadedFiles::default());
        let config = config(CONFIG);
        apply(&mut sources, &config, &files);
        let entry = format!("[{{ url: 'http://b', http: {{ headers_files: {{ x-a: '{}' }} }} }}]", token.display());
        update(&mut sources, &config.discovery[0], entries(&entry), &files);
        assert!(sources.lack_files() && !retry_files(&mut sources, &files));
        std::fs::write(&token, "one").unwrap();
        assert!(retry_files(&mut sources, &files) && !sources.lack_files());
        let merged = sources.merge();
        assert_eq!(merged_names(&merged), ["tcp://a:1", "http://b:80"]);
        let http = merged.targets[1].settings.probe_kind.http().unwrap();
        assert_eq!(files.header_values.value(&http.headers_files[0].1).unwrap(), "one");
    }

    #[test]
    fn the_limit_applies_to_all_sources_together() {
        let (mut sources, files) = (TargetSources::default(), LoadedFiles::default());
        let config = config(CONFIG);
        apply(&mut sources, &config, &files);
        update(&mut sources, &config.discovery[0], entries("['b:1-3']"), &files);
        update(&mut sources, &config.discovery[1], entries("['c:1-3']"), &files);
        let merged = sources.merge();
        assert_eq!(merged.targets.len(), 5);
        assert_eq!((merged.statuses[1].targets, merged.statuses[1].invalid), (1, 2));
    }

    #[test]
    fn a_new_configuration_rebuilds_discovered_targets() {
        let (mut sources, files) = (TargetSources::default(), LoadedFiles::default());
        let before = config(CONFIG);
        apply(&mut sources, &before, &files);
        update(&mut sources, &before.discovery[0], entries("['b:1']"), &files);
        update(&mut sources, &before.discovery[1], entries("['c:1']"), &files);
        let after = config("defaults: { interval: 5s }\ndiscovery: [{ file: two.json }]\n");
        apply(&mut sources, &after, &files);
        let merged = sources.merge();
        assert_eq!(merged_names(&merged), ["tcp://c:1"]);
        assert_eq!(merged.targets[0].settings.cadence.interval().as_secs(), 5);
    }

    #[test]
    fn a_removed_source_counts_as_removed_targets() {
        let (mut sources, files) = (TargetSources::default(), LoadedFiles::default());
        let whole = config("targets: ['a:1', 'b:1']\ndiscovery: [{ file: one.json }]\n");
        apply(&mut sources, &whole, &files);
        update(&mut sources, &whole.discovery[0], entries("['b:1', 'c:1-3']"), &files);
        let removed = |text: &str| {
            let Config { targets, discovery, .. } = config(text);
            sources
                .mass_removal(&targets, &discovery)
                .map(|removal| (removal.removed, removal.before))
        };
        assert_eq!(removed("targets: ['a:1', 'b:1']\n"), Some((3, 5)));
        assert_eq!(removed("targets: ['a:1']\ndiscovery: [{ file: one.json }]\n"), None);
        assert_eq!(removed("targets: ['a:1', 'b:1', 'c:1']\n"), None);
        assert_eq!(removed("discovery: [{ file: two.json }]\n"), Some((5, 5)));
    }

    #[test]
    fn a_changed_refresh_period_keeps_the_targets() {
        let (mut sources, files) = (TargetSources::default(), LoadedFiles::default());
        let before = config("discovery: [{ file: one.json }]\n");
        apply(&mut sources, &before, &files);
        update(&mut sources, &before.discovery[0], entries("['b:1']"), &files);
        apply(&mut sources, &config("discovery: [{ file: one.json, refresh: 5s }]\n"), &files);
        assert_eq!(merged_names(&sources.merge()), ["tcp://b:1"]);
    }

    #[test]
    fn only_targets_with_unreadable_files_are_skipped() {
        let (mut sources, files) = (TargetSources::default(), LoadedFiles::default());
        let config = config("discovery: [{ file: one.json }]");
        apply(&mut sources, &config, &files);
        let text = "[{ urls: ['tls://a:1-2', 'tls://b:1', 'tcp://c:1'], tls: { ca_file: /missing.pem } }, \
                    { urls: ['http://d:1', 'tls://e:1'], http: { headers_files: { x-a: /missing } } }]";
        update(&mut sources, &config.discovery[0], entries(text), &files);
        assert_eq!(merged_names(&sources.merge()), ["tcp://c:1", "tls://e:1"]);
        let invalid = &sources.unreported()[0].skipped;
        for (error, label) in
            invalid
                .iter()
                .zip(["entry 1, `tls://a:1-2`: ", "entry 1, `tls://b:1`: ", "entry 2, `http://d:1`: "])
        {
            assert!(error.starts_with(label) && error.contains("/missing"), "{error}");
        }
        assert_eq!((invalid.len(), sources.discovered[0].built.unreadable.len()), (3, 2));
    }
}
