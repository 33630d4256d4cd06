//! Finds a single discovered target by its name.

use std::num::NonZeroU16;
use std::sync::Arc;

use crate::config::file_uses::FileUses;
use crate::config::levels::Level;
use crate::config::problems::Problems;
use crate::config::sources::{Discovered, Source};
use crate::config::targets::discovered::DiscoveryContext;
use crate::target::Target;

/// The place of a target: an entry, its URL if it has a list of them, and the port.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Place<'a> {
    entry: &'a Discovered,
    url: Option<usize>,
    port: NonZeroU16,
}

impl DiscoveryContext {
    /// The place of the first target with this name among the entries of a source. Adds all names before it to `names`.
    pub(in crate::config) fn find<'a>(
        &self,
        source: &Source,
        entries: &'a [Discovered],
        name: &str,
        names: &mut Vec<String>,
    ) -> Option<Place<'a>> {
        for candidate in self.candidates(source, entries).flatten() {
            let (index, url) = candidate.parts.urls.get(candidate.url)?;
            for endpoint in url.endpoints() {
                let Ok(found) = candidate.parts.name_of(&endpoint) else { continue };
                if found.as_str() == name {
                    let entry = entries.get(candidate.label.index)?;
                    return Some(Place { entry, url: *index, port: endpoint.port });
                }
                names.push(found.to_string());
            }
        }
        None
    }

    /// The target at a place of a source, with a level that takes precedence over its settings, and its files. `None`
    /// if the source is unknown; no target if there is a problem.
    pub(in crate::config) fn target(
        &self,
        source: &Source,
        place: Place<'_>,
        overlay: &Level,
        problems: &Problems,
    ) -> Option<(Option<Arc<Target>>, FileUses)> {
        let mut reader = self.reader(source, self.sources.get(&source.name)?);
        reader.builder = reader.builder.with_overlay(overlay);
        let Place { entry: Discovered(node), url: place, port } = place;
        let found = Problems::default();
        let at = found.argument("NAME");
        let target = reader.entry(node.clone(), at).0.and_then(|entry| {
            let parts = reader.builder.parts(&entry, at);
            let (_, url) = parts.urls.iter().find(|(index, _)| *index == place)?;
            let endpoint = url.endpoints().find(|endpoint| endpoint.port == port)?;
            parts.target(parts.name_of(&endpoint).ok()?, endpoint)
        });
        for (path, message) in found.into_found() {
            if path.url_index().is_none_or(|index| Some(index) == place) {
                problems.refuse(path, message);
            }
        }
        Some((target, reader.builder.files))
    }
}
