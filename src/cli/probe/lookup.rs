//! Finds the target of `portprobe probe`: in the configuration file, in its discovery sources, or by its URL.

use crate::app::LoadedFiles;
use crate::cli::print_error;
use crate::config::{LoadError, Required, SingleTarget, Source, SourceKind, TargetLookup, Unreadable};
use crate::discovery::{self, Snapshot};
use crate::probe::Connector;

/// Finds the target and reads its files into `files`.
///
/// The discovery sources are read only if the file does not have the target, one after the other until it is found. One
/// that cannot be read is reported on standard error and skipped.
pub(super) async fn find(mut lookup: TargetLookup<'_>, files: &LoadedFiles) -> Result<SingleTarget, LoadError> {
    if let Some(draft) = lookup.in_file() {
        return files.finish(draft);
    }
    let connector = Connector::new(lookup.resolver_options(), files.tls_store.clone());
    for source in lookup.sources() {
        let name = &source.name;
        match read(&source, files, &connector).await {
            Ok(Snapshot { entries, problems }) => {
                for problem in problems {
                    print_error(&format!("portprobe: cannot read a part of the discovery source {name}: {problem}"));
                }
                if let Some(draft) = lookup.in_source(&source, &entries) {
                    return files.finish(draft);
                }
            }
            Err(error) => print_error(&format!("portprobe: cannot read the discovery source {name}: {error}")),
        }
    }
    files.finish(lookup.by_url())
}

async fn read(source: &Source, files: &LoadedFiles, connector: &Connector) -> Result<Snapshot, String> {
    if let SourceKind::Http(http) = &source.kind {
        let profile = Required::Tls(http.tls.profile.clone());
        files.read(&profile).map_err(Unreadable::into_message)?;
    }
    discovery::read_once(source, connector).await.map_err(|error| error.to_string())
}
