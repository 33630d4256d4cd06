//! Defaults and modules: the levels of settings that targets share.

use std::collections::HashMap;

use crate::config::groups::{Groups, unknown_name};
use crate::config::keys::RawSettings;
use crate::config::keys::read::mapping;
use crate::config::keys::value::Named;
use crate::config::levels::{Layer, Layers};
use crate::config::problems::Problems;
use crate::config::problems::path::{At, KeyPath};
use crate::config::problems::text::quoted;

/// The defaults and every module.
#[derive(Debug, PartialEq)]
pub(super) struct Modules {
    defaults: Layer,
    named: HashMap<Box<str>, Layer>,
}

impl Modules {
    /// Takes the modules as written.
    pub(super) fn read(
        defaults: Layer,
        named: Named<RawSettings>,
        at: At<'_>,
        groups: &Groups,
        problems: &mut Problems,
    ) -> Self {
        groups.check(&defaults, problems);
        let mut modules = Self { defaults, named: HashMap::new() };
        for (name, given) in named.0 {
            if modules.named.contains_key(&name) {
                continue;
            }
            let at = at.key(&name);
            let layer = Layer::read(mapping(given, at, problems), at, problems);
            if let Some(other) = &layer.module {
                let message =
                    format!("names the module {}, but a module cannot build on another; remove it", quoted(other));
                problems.add(at.key("module"), message);
            }
            groups.check(&layer, problems);
            modules.named.insert(name, layer);
        }
        modules.of(&[&modules.defaults], problems);
        modules
    }

    /// The module that the nearest of these layers names. A name that no module has is noted.
    pub(super) fn of(&self, layers: &[&Layer], problems: &mut Problems) -> Option<&Layer> {
        let (level, name) = Layers(layers).nearest(|layer| layer.module.as_deref())?;
        let module = self.named.get(name);
        if let (None, Some(layer)) = (module, layers.get(level)) {
            let at: KeyPath = layer.at.join("module");
            problems.add(at, unknown_name(name, "module", self.named.keys().map(|name| &**name)));
        }
        module
    }

    /// What applies to a target of these own layers: they, its module, the defaults.
    pub(super) fn layers<'a>(&'a self, own: &[&'a Layer], problems: &mut Problems) -> Vec<&'a Layer> {
        let mut layers = own.to_vec();
        layers.push(&self.defaults);
        let module = self.of(&layers, problems);
        layers.splice(own.len()..own.len(), module);
        layers
    }
}
