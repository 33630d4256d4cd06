//! Port audits.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::keys::Audit as Keys;
use crate::config::keys::read::{Field, Items};
use crate::config::problems::At;
use crate::config::problems::path::KeyPath;
use crate::target::{Audit, AuditError, AuditSettings, TargetName};

/// The audits of a configuration.
#[derive(Debug, PartialEq)]
pub(super) enum Audits {
    Absent,
    /// Without those that are invalid.
    Present(Vec<Arc<Audit>>),
}

impl Audits {
    /// Reads the audits. An invalid one is reported and skipped.
    pub(super) fn read(field: Field<Items<Keys>>, at: At<'_>) -> Self {
        let Items(items) = match field {
            Field::Absent => return Self::Absent,
            Field::Valid(Items(items)) if items.is_empty() => return Self::Absent,
            field => field.into_value().unwrap_or_default(),
        };
        let (mut all, mut paths) = (Vec::new(), HashMap::<TargetName, KeyPath>::new());
        for (index, item) in items.into_iter().enumerate() {
            let at = at.item(index);
            let Some(audit) = item.read_item(at).and_then(|keys| audit(keys, at)) else { continue };
            let name = &audit.settings().name;
            if let Some(first) = paths.get(name) {
                at.key("name")
                    .refuse_with(first.clone(), format!("duplicate of {first}; rename one"));
                continue;
            }
            paths.insert(name.clone(), at.key("name").path());
            all.push(Arc::new(audit));
        }
        Self::Present(all)
    }

    /// All of them, in the order of the file.
    pub(super) fn into_all(self) -> Vec<Arc<Audit>> {
        match self {
            Self::Absent => Vec::new(),
            Self::Present(all) => all,
        }
    }
}

fn audit(keys: Keys, at: At<'_>) -> Option<Audit> {
    let problems = at.problems().count();
    let name = required(keys.name, at, "name", "add a unique name");
    let name = name.and_then(|name| TargetName::try_new(&name).map_err(|error| at.key("name").refuse(error)).ok());
    let hosts = required(keys.hosts, at, "hosts", "add addresses, networks or host names");
    let ports = required(keys.ports, at, "ports", "add ports, like 1-65535");
    let settings = AuditSettings {
        name: name?,
        hosts: hosts?.0,
        ports: ports?,
        open: keys.open.into_value(),
        interval: keys.interval.into_value().unwrap_or(Audit::DEFAULT_INTERVAL),
        timeout: keys.timeout.into_value().unwrap_or(Audit::DEFAULT_TIMEOUT),
        per_second: keys.per_second.into_value().unwrap_or(Audit::DEFAULT_PER_SECOND),
    };
    if at.problems().count() > problems {
        return None;
    }
    let refuse = |error: AuditError| {
        let key = match error {
            AuditError::NotAudited(_) => "open",
            AuditError::TooMany { .. } => "hosts",
            AuditError::TooSlow { .. } => "per_second",
        };
        at.key(key).refuse(error);
    };
    Audit::try_new(settings).map_err(refuse).ok()
}

/// The value of a key that must have one.
fn required<T>(field: Field<T>, at: At<'_>, key: &str, fix: &str) -> Option<T> {
    if field.is_absent() {
        at.key(key).refuse(format_args!("is missing; {fix}"));
    }
    field.into_value()
}
