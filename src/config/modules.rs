//! Defaults and modules: settings that targets share.

use std::collections::HashMap;

use crate::config::groups::{Groups, unknown_name};
use crate::config::keys::Settings;
use crate::config::keys::read::Named;
use crate::config::levels::{Level, Levels};
use crate::config::problems::text::quoted;
use crate::config::problems::{At, Problems};

/// The defaults and every module.
#[derive(Debug, PartialEq)]
pub(super) struct Modules {
    defaults: Level,
    named: HashMap<Box<str>, Level>,
}

impl Modules {
    /// Reads the modules at `at`.
    pub(super) fn read(defaults: Level, Named(modules): Named<Settings>, at: At<'_>, groups: &Groups) -> Self {
        let problems = at.problems();
        groups.check(&defaults, problems);
        let mut named = HashMap::new();
        for (name, keys) in modules {
            let at = at.key(&name);
            let level = Level::new(keys.read(at).into_value().unwrap_or_default(), at);
            if let Some(other) = level.keys.module.get() {
                let message = format!("module {} is not allowed in a module; remove it", quoted(other));
                at.key("module").refuse(message);
            }
            groups.check(&level, problems);
            named.insert(name, level);
        }
        let modules = Self { defaults, named };
        modules.of(&[&modules.defaults], problems);
        modules
    }

    /// Returns whether a module has this name.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.named.contains_key(name)
    }

    /// The module that the nearest of these levels names. A name that does not exist is reported.
    pub(super) fn of(&self, levels: &[&Level], problems: &Problems) -> Option<&Level> {
        let (nearest, name) = Levels { all: levels, problems }.nearest(|keys| keys.module.get())?;
        let module = self.named.get(name);
        if module.is_none() {
            let names = self.named.keys().map(|name| &**name);
            problems.refuse(nearest.at("module"), unknown_name(name, "module", names));
        }
        module
    }

    /// The levels that apply to a target with these `own` levels: those, its module, the defaults.
    pub(super) fn levels<'a>(&'a self, own: &[&'a Level], problems: &Problems) -> Vec<&'a Level> {
        let mut levels = own.to_vec();
        levels.push(&self.defaults);
        let module = self.of(&levels, problems);
        levels.splice(own.len()..own.len(), module);
        levels
    }
}
