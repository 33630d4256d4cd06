//! Links between pages. All are relative, so that they are right behind any prefix.

use std::borrow::Cow;

use form_urlencoded::Serializer;

use crate::board::State;
use crate::http::path_name::encoded;
use crate::inventory::{Page, Sort, SortKey, TargetQuery};
use crate::target::TargetName;

/// The way from a page to the root of the server: nothing, or `../` for each segment of its path.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Root(String);

impl Root {
    /// Returns the way from a path below the prefix of this server.
    pub(super) fn of_path(path: &str) -> Self {
        Self("../".repeat(path.matches('/').count().saturating_sub(1)))
    }

    /// Returns the link to the overview.
    pub(super) fn overview(&self) -> &str {
        if self.0.is_empty() { "./" } else { &self.0 }
    }

    /// Returns the link to a path below the root.
    pub(super) fn to(&self, path: impl AsRef<str>) -> String {
        format!("{}{}", self.0, path.as_ref())
    }

    /// Returns the link to a target's page.
    pub(super) fn target(&self, name: &TargetName) -> String {
        self.target_named(name.as_str())
    }

    /// Returns the link to the page of a target that may have been removed.
    pub(super) fn target_named(&self, name: &str) -> String {
        format!("{}targets/{}", self.0, encoded(name))
    }

    /// Returns the link to the targets that match.
    pub(super) fn targets(&self, query: &TargetQuery) -> String {
        let written = written(query);
        if written.is_empty() { self.overview().to_owned() } else { format!("{}?{written}", self.overview()) }
    }
}

/// Writes a query with the parameters of the API. Defaults are omitted.
fn written(query: &TargetQuery) -> String {
    let mut written = Serializer::new(String::new());
    for (name, value) in pairs(query) {
        written.append_pair(name, &value);
    }
    written.finish()
}

/// Returns the parameters of a query, without defaults.
pub(super) fn pairs(query: &TargetQuery) -> Vec<(&'static str, Cow<'_, str>)> {
    let TargetQuery { states, labels, group, protocol, text, sort, page } = query;
    let mut pairs: Vec<(&'static str, Cow<'_, str>)> = Vec::new();
    pairs.extend(states.iter().map(|state| ("state", State::as_str(*state).into())));
    pairs.extend(labels.iter().map(|(name, value)| ("label", format!("{name}={value}").into())));
    let single = [("group", group), ("protocol", protocol), ("text", text)];
    pairs.extend(
        single
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?.into()))),
    );
    if *sort != Sort::default() {
        pairs.push(("sort", sort_name(*sort).into()));
    }
    let default = Page::default();
    if page.limit != default.limit {
        pairs.push(("limit", page.limit.to_string().into()));
    }
    if page.offset != default.offset {
        pairs.push(("offset", page.offset.to_string().into()));
    }
    pairs
}

/// Returns the value of the parameter `sort`.
pub(super) fn sort_name(sort: Sort) -> String {
    format!("{}{}", if sort.is_descending { "-" } else { "" }, SortKey::as_str(sort.by))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_the_root_from_every_depth() {
        for (path, to_root) in [("/", ""), ("/targets/a", "../"), ("/targets/tcp://a:1", "../../../")] {
            assert_eq!(Root::of_path(path).0, to_root, "{path}");
        }
        assert_eq!(Root::of_path("/").overview(), "./");
    }

    #[test]
    fn a_name_is_one_segment() {
        let name = TargetName::try_new("tcp://[::1]:80/a b?\"<#%\u{202e}").unwrap();
        let link = Root::of_path("/").target(&name);
        assert_eq!(link, "targets/tcp%3A%2F%2F%5B%3A%3A1%5D%3A80%2Fa%20b%3F%22%3C%23%25%E2%80%AE");
    }

    #[test]
    fn a_query_is_written_with_the_parameters_of_the_api() {
        let query = TargetQuery {
            states: vec![State::Down, State::Unknown],
            labels: vec![("team".into(), "a&b".into())],
            group: Some("g".into()),
            protocol: Some("tls".into()),
            text: Some("x y".into()),
            sort: Sort { by: SortKey::Since, is_descending: true },
            page: Page { limit: 5, offset: 10 },
        };
        let expected = "./?state=down&state=unknown&label=team%3Da%26b&group=g&protocol=tls&text=x+y&sort=-since&limit=5&offset=10";
        assert_eq!(Root::default().targets(&query), expected);
        assert_eq!(Root::default().targets(&TargetQuery::default()), "./");
    }
}
