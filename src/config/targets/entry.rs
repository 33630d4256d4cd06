//! One entry of `targets`: a URL, or a mapping of URLs and settings.

use crate::config::keys::read::{Field, Items, Key, Mapping};
use crate::config::keys::value::{Url, scheme_error};
use crate::config::keys::{Settings, Target as Keys};
use crate::config::levels::{Level, Levels};
use crate::config::problems::At;
use crate::config::problems::text::{quoted, suggestion};
use crate::config::yaml::Node;
use crate::protocol::SCHEMES;
use crate::target::{TargetUrl, UrlError, secret_query_key};

/// An entry whose URLs are not parsed yet: the scheme of a bare `host:port` depends on other levels.
#[derive(Debug)]
pub(in crate::config) struct TargetEntry {
    /// The entry's settings.
    pub(in crate::config) level: Level,
    pub(in crate::config) name: Option<Box<str>>,
    urls: Urls,
}

/// The URLs of an entry, without invalid ones.
#[derive(Debug)]
enum Urls {
    /// The entry is only a URL.
    Bare(Box<str>),
    /// Each with its index in the list.
    Many(Vec<(usize, Box<str>)>),
    One(Option<Box<str>>),
}

impl TargetEntry {
    /// Reads an entry; `None` if it is not an entry, which is reported.
    pub(in crate::config) fn read(node: Node, at: At<'_>) -> Option<Self> {
        match node {
            Node::Text(_) => {
                let Url(url) = Key::read(node, at)?;
                Some(Self { level: Level::new(Settings::default(), at), name: None, urls: Urls::Bare(url) })
            }
            Node::Mapping(entries) if is_stray_blank(&entries) => {
                at.refuse("is a mapping for YAML; must be a URL; remove the space after the colon, as in host:443");
                None
            }
            Node::Mapping(_) => {
                let Keys { url, urls, name, settings } = Key::read(node, at)?;
                let urls = Urls::read(url, urls, at);
                let level = Level::new(settings, at);
                Some(Self { level, name: name.into_value(), urls: urls? })
            }
            other => {
                at.refuse(format_args!("is {other}; must be a URL like tcp://host:443, or a mapping with `url`"));
                None
            }
        }
    }

    /// An entry of several URLs with the same settings.
    pub(in crate::config) fn of_several(urls: Items<Url>, level: Level, name: Option<Box<str>>, at: At<'_>) -> Self {
        Self { level, name, urls: Urls::many(urls, at.key("urls")) }
    }

    /// The valid URLs, each with its index if they are a list.
    pub(in crate::config) fn urls(&self, levels: Levels<'_>, at: At<'_>) -> Vec<(Option<usize>, TargetUrl)> {
        match &self.urls {
            Urls::Bare(url) => parse(url, levels, at).map(|url| (None, url)).into_iter().collect(),
            Urls::One(url) => {
                let url = url.as_deref().and_then(|url| parse(url, levels, at.key("url")));
                url.map(|url| (None, url)).into_iter().collect()
            }
            Urls::Many(urls) => {
                let at = at.key("urls");
                let urls = urls
                    .iter()
                    .filter_map(|(index, url)| Some((Some(*index), parse(url, levels, at.item(*index))?)));
                urls.collect()
            }
        }
    }

    /// Reports a problem of a URL, the one with this index if they are a list.
    pub(in crate::config) fn refuse_url(&self, index: Option<usize>, at: At<'_>, message: &str) {
        match (&self.urls, index) {
            (Urls::Bare(_), _) => at.refuse(message),
            (Urls::Many(_), Some(index)) => at.key("urls").item(index).refuse(message),
            (Urls::Many(_), None) => at.key("urls").refuse(message),
            (Urls::One(_), _) => at.key("url").refuse(message),
        }
    }
}

impl Urls {
    fn read(one: Field<Url>, list: Field<Items<Url>>, at: At<'_>) -> Option<Self> {
        match (one, list) {
            (Field::Absent, Field::Absent) => {
                at.refuse("requires `url` or `urls`; add one, like `url: tcp://host:443`");
                None
            }
            (one, Field::Absent) => Some(Self::One(one.into_value().map(|Url(url)| url))),
            (Field::Absent, list) => {
                let (Items(items), at) = (list.into_value()?, at.key("urls"));
                if items.is_empty() {
                    at.refuse("is empty; add a URL");
                }
                Some(Self::many(Items(items), at))
            }
            (_, _) => {
                at.key("urls")
                    .refuse("conflicts with `url`; move all URLs to `urls`, and remove `url`");
                None
            }
        }
    }

    fn many(Items(items): Items<Url>, at: At<'_>) -> Self {
        let urls = items.into_iter().enumerate();
        Self::Many(
            urls.filter_map(|(index, item)| Some((index, item.read_item(at.item(index))?.0)))
                .collect(),
        )
    }
}

fn parse(text: &str, levels: Levels<'_>, at: At<'_>) -> Option<TargetUrl> {
    let url = TargetUrl::parse(text, levels.scheme(), SCHEMES)
        .map_err(|error| at.refuse(message(&error)))
        .ok()?;
    if let Some(key) = secret_query_key(text) {
        let message = format!(
            "the value of {} may be a secret, and URLs are label values; move it to `http.headers_files`",
            quoted(key)
        );
        at.problems().warn(at.path(), message);
    }
    if let Some(address) = url.host().literal() {
        levels.check_literal(address, at);
    }
    Some(url)
}

/// The error, with a suggestion for a misspelt scheme.
fn message(error: &UrlError) -> String {
    match error {
        UrlError::Scheme(error) => scheme_error(error),
        error => error.to_string(),
    }
}

/// Returns whether an entry looks like `host: 443`, a typo for `host:443`.
fn is_stray_blank(entries: &[(Box<str>, Node)]) -> bool {
    let [(key, Node::Integer(_))] = entries else { return false };
    suggestion(key, Keys::keys()).is_none()
}
