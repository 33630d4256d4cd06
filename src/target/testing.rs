//! Targets for the tests of other modules.

use std::sync::Arc;

use super::{Scheme, Schemes, Settings, Target, TargetName, TargetUrl};

/// Returns a target with this URL and these settings.
pub(crate) fn example(url: &str, settings: Settings) -> Target {
    let endpoint = TargetUrl::parse(url, Scheme::default(), Schemes(&[]))
        .unwrap()
        .endpoints()
        .next()
        .unwrap();
    Target {
        name: TargetName::try_new(&endpoint.to_string()).unwrap(),
        endpoint,
        labels: Arc::default(),
        group: None,
        settings: Arc::new(settings),
    }
}
