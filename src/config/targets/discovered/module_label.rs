//! Warns about the label `module`, which names a module elsewhere and is an ordinary label here.

use crate::config::problems::text::quoted;
use crate::config::sources::Discovered;
use crate::config::targets::discovered::DiscoveryContext;
use crate::config::targets::discovered::error::{EntryError, EntryLabel};
use crate::config::targets::prometheus;
use crate::config::yaml::Node;

impl DiscoveryContext {
    /// Returns a warning for each entry whose label `module` has the name of a module and does not apply it.
    pub fn module_labels<'a>(&'a self, entries: &'a [Discovered]) -> impl Iterator<Item = EntryError> + 'a {
        entries.iter().enumerate().filter_map(|(index, Discovered(node))| {
            let Node::Mapping(keys) = node else { return None };
            let Node::Mapping(labels) = value(keys, "labels")? else { return None };
            let Node::Text(module) = value(labels, "module")? else { return None };
            let applied = ["__param_module", "__portprobe_module"]
                .iter()
                .find_map(|label| value(labels, label));
            if applied.or_else(|| value(keys, "module")).is_some() || !self.modules.contains(module) {
                return None;
            }
            let fix =
                if prometheus::is_group(node) { "use the label `__param_module`" } else { "set the key `module`" };
            let message =
                format!("the label `module` does not apply the module {}; to apply it, {fix}", quoted(module));
            Some(EntryLabel { index, node }.error(None, &message))
        })
    }
}

fn value<'a>(entries: &'a [(Box<str>, Node)], key: &str) -> Option<&'a Node> {
    entries.iter().find(|(known, _)| **known == *key).map(|(_, value)| value)
}
