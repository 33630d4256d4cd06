//! One entry of `targets`, by itself: a URL, or a mapping of URLs and settings.

use crate::config::keys::RawTarget;
use crate::config::keys::read::{text, unknown_keys, value};
use crate::config::keys::value::{Given, List, Url};
use crate::config::levels::{Layer, Layers};
use crate::config::problems::Problems;
use crate::config::problems::path::At;
use crate::config::problems::text::suggestion;
use crate::config::yaml::Node;
use crate::protocol::SCHEMES;
use crate::target::{SchemeError, TargetUrl, UrlError};

/// An entry as it is written; its URLs are read once it is known what a bare `host:port` is.
#[derive(Debug)]
pub(in crate::config) struct Entry {
    /// The entry's own settings.
    pub(in crate::config) layer: Layer,
    pub(in crate::config) name: Option<Box<str>>,
    urls: Urls,
}

/// The URLs of an entry; those that are no text are noted and left out.
#[derive(Debug)]
enum Urls {
    /// The entry is nothing but a URL.
    Bare(Box<str>),
    /// The index of each in the list.
    Many(Vec<(usize, Box<str>)>),
    One(Option<Box<str>>),
}

impl Entry {
    /// Takes an entry as written; nothing where it is no entry at all, which is noted.
    pub(in crate::config) fn read(node: Node, at: At<'_>, problems: &mut Problems) -> Option<Self> {
        match node {
            Node::Text(_) => {
                let Url(url) = value(Given::read(node), at, problems)?;
                let layer = Layer::read(RawTarget::default().settings, at, problems);
                Some(Self { layer, name: None, urls: Urls::Bare(url) })
            }
            Node::Mapping(entries) if is_stray_blank(&entries) => {
                let message =
                    "is read by YAML as a key and a value; a URL has no blank behind its colon, like host:443";
                problems.add(at, message);
                None
            }
            Node::Mapping(_) => Self::of_mapping(value(Given::read(node), at, problems)?, at, problems),
            other => {
                problems.add(at, format!("is {other}; expected a URL like tcp://host:443, or a mapping with a `url`"));
                None
            }
        }
    }

    fn of_mapping(raw: RawTarget, at: At<'_>, problems: &mut Problems) -> Option<Self> {
        unknown_keys(&raw.unknown, at, RawTarget::keys, problems);
        let urls = urls(raw.url, raw.urls, at, problems);
        let name = text(raw.name, at.key("name"), problems);
        Some(Self { layer: Layer::read(raw.settings, at, problems), name, urls: urls? })
    }

    /// An entry of several URLs and what is said of all of them. Wrong ones are noted.
    pub(in crate::config) fn of_several(
        urls: List<Url>,
        layer: Layer,
        name: Option<Box<str>>,
        at: At<'_>,
        problems: &mut Problems,
    ) -> Self {
        Self { layer, name, urls: many(urls, at.key("urls"), problems) }
    }

    /// The URLs that are good, each with its index where they are a list; what is wrong with the others is noted.
    pub(in crate::config) fn urls(
        &self,
        layers: Layers<'_>,
        at: At<'_>,
        problems: &mut Problems,
    ) -> Vec<(Option<usize>, TargetUrl)> {
        let mut read = |text: &str, at: At<'_>| match TargetUrl::parse(text, layers.scheme(), SCHEMES) {
            Ok(url) => {
                url.host().literal().into_iter().for_each(|address| layers.check_literal(address, at, problems));
                Some(url)
            }
            Err(error) => {
                problems.add(at, with_suggestion(&error));
                None
            }
        };
        match &self.urls {
            Urls::Bare(url) => read(url, at).map(|url| (None, url)).into_iter().collect(),
            Urls::One(url) => {
                let url = url.as_deref().and_then(|url| read(url, at.key("url")));
                url.map(|url| (None, url)).into_iter().collect()
            }
            Urls::Many(urls) => {
                let at = at.key("urls");
                let urls = urls.iter().filter_map(|(index, url)| Some((Some(*index), read(url, at.item(*index))?)));
                urls.collect()
            }
        }
    }

    /// Notes what is wrong with a URL, the one of this index where they are a list.
    pub(in crate::config) fn blame(&self, index: Option<usize>, at: At<'_>, message: &str, problems: &mut Problems) {
        match (&self.urls, index) {
            (Urls::Bare(_), _) => problems.add(at, message),
            (Urls::Many(_), Some(index)) => problems.add(at.key("urls").item(index), message),
            (Urls::Many(_), None) => problems.add(at.key("urls"), message),
            (Urls::One(_), _) => problems.add(at.key("url"), message),
        }
    }
}

/// What is wrong with a URL, and of a scheme that is none the one that may be meant.
fn with_suggestion(error: &UrlError) -> String {
    let schemes = SCHEMES.all();
    let near = match error {
        UrlError::Scheme(SchemeError::Unknown(scheme)) => suggestion(scheme, schemes.iter().map(String::as_str)),
        _ => None,
    };
    near.map_or_else(|| error.to_string(), |near| format!("{error}; did you mean `{near}`?"))
}

/// Whether an entry is like `host: 443`, where `host:443` was meant.
fn is_stray_blank(entries: &[(Box<str>, Node)]) -> bool {
    let [(key, Node::Integer(_))] = entries else { return false };
    suggestion(key, RawTarget::keys()).is_none()
}

fn urls(one: Given<Url>, list: Given<List<Url>>, at: At<'_>, problems: &mut Problems) -> Option<Urls> {
    match (one, list) {
        (Given::Nothing, Given::Nothing) => {
            problems.add(at, "has neither `url` nor `urls`; add what is to be probed, like `url: tcp://host:443`");
            None
        }
        (one, Given::Nothing) => Some(Urls::One(value(one, at.key("url"), problems).map(|Url(url)| url))),
        (Given::Nothing, list) => {
            let List(items) = value(list, at.key("urls"), problems)?;
            if items.is_empty() {
                problems.add(at.key("urls"), "is an empty list; write at least one URL into it");
            }
            Some(many(List(items), at.key("urls"), problems))
        }
        (_, _) => {
            problems.add(at.key("urls"), "stands beside `url`; put all URLs into `urls` and remove `url`");
            None
        }
    }
}

fn many(List(items): List<Url>, at: At<'_>, problems: &mut Problems) -> Urls {
    let urls = items.into_iter().enumerate();
    Urls::Many(urls.filter_map(|(index, url)| Some((index, value(url, at.item(index), problems)?.0))).collect())
}
