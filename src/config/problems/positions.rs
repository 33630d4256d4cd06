//! Where in the file a key stands: a second reading, done only once there is something to point at.
//!
//! `serde_yaml` forgets positions. `saphyr-parser` tells the position of every event; from these a tree of places is
//! built with a stack of its own, so that no depth of nesting matters. Aliases are followed, not expanded.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::config::problems::path::{KeyPath, Part, Position, Step};

/// Every place of a document, as far as it could be read.
#[derive(Debug, Default)]
pub(in crate::config) struct Places<'a> {
    all: Vec<Place<'a>>,
    anchors: HashMap<usize, usize>,
    second_document: Option<Position>,
}

#[derive(Debug)]
struct Place<'a> {
    position: Position,
    content: Content<'a>,
}

#[derive(Debug)]
enum Content<'a> {
    Alias(usize),
    List(Vec<usize>),
    Mapping(Entries<'a>),
    /// A plain scalar's text; of others nobody needs it.
    Scalar(Option<Cow<'a, str>>),
}

/// The entries of a mapping, in the order written.
#[derive(Debug, Default)]
struct Entries<'a> {
    /// Key, where it stands, and the value's place.
    all: Vec<(Cow<'a, str>, Position, usize)>,
    /// Where among all each key stands; made when first asked for, so that as many problems as keys cost no square.
    by_key: OnceCell<HashMap<Cow<'a, str>, Vec<usize>>>,
}

impl Entries<'_> {
    /// The entry of a key, of several equal ones the one after so many others: where its key stands, and its value's
    /// place.
    fn find(&self, key: &str, before: usize) -> Option<(Position, usize)> {
        let by_key = self.by_key.get_or_init(|| {
            let mut by_key: HashMap<_, Vec<_>> = HashMap::with_capacity(self.all.len());
            for (index, (key, ..)) in self.all.iter().enumerate() {
                by_key.entry(key.clone()).or_default().push(index);
            }
            by_key
        });
        let (_, at, value) = self.all.get(*by_key.get(key)?.get(before)?)?;
        Some((*at, *value))
    }
}

impl<'a> Places<'a> {
    /// Reads the places of a YAML text. Stops without a word where the text is no YAML.
    pub(in crate::config) fn survey(text: &'a str) -> Self {
        let mut surveyor = Surveyor::default();
        let mut parser = Parser::new_from_str(text);
        while let Some(Ok((event, span))) = parser.next_event() {
            surveyor.take(event, span);
        }
        surveyor.places
    }

    /// Where a value or its key stands; of a value that is not there, the nearest that it would stand in.
    pub(in crate::config) fn position(&self, path: &KeyPath, part: Part) -> Option<Position> {
        if !path.is_in_file() {
            return None;
        }
        let mut place = self.all.first()?;
        let Some((last, outer)) = path.steps.split_last() else { return Some(place.position) };
        for step in outer {
            match self.inner(place, step, 0) {
                Some((_, inner)) => place = inner,
                None => return Some(place.position),
            }
        }
        let before = if let Part::Key(before) = part { before } else { 0 };
        Some(match (self.inner(place, last, before), part) {
            (None, _) => place.position,
            (Some((key, _)), Part::Key(_)) => key,
            (Some((_, value)), Part::Value) => value.position,
        })
    }

    /// The text of a plain scalar as it is written.
    pub(in crate::config) fn written(&self, path: &KeyPath) -> Option<&str> {
        if !path.is_in_file() {
            return None;
        }
        let mut place = self.all.first()?;
        for step in &path.steps {
            place = self.inner(place, step, 0)?.1;
        }
        match &self.resolved(place)?.content {
            Content::Scalar(text) => text.as_deref(),
            Content::Alias(_) | Content::List(_) | Content::Mapping(_) => None,
        }
    }

    /// Where the document starts.
    pub(in crate::config) fn start(&self) -> Option<Position> {
        self.all.first().map(|place| place.position)
    }

    /// Where a second document starts.
    pub(in crate::config) fn second_document(&self) -> Option<Position> {
        self.second_document
    }

    /// What a step leads to: where its key stands, and the value's place.
    fn inner(&self, place: &Place<'a>, step: &Step, before: usize) -> Option<(Position, &Place<'a>)> {
        match (&self.resolved(place)?.content, step) {
            (Content::List(items), Step::Item(index)) => {
                let item = self.all.get(*items.get(*index)?)?;
                Some((item.position, item))
            }
            (Content::Mapping(entries), Step::Key(wanted)) => match entries.find(wanted, before) {
                Some((at, value)) => Some((at, self.all.get(value)?)),
                None => self.merged(entries, step),
            },
            _ => None,
        }
    }

    /// The same among the mappings that merge keys (`<<`) name; one level of them is looked at.
    fn merged(&self, entries: &Entries<'a>, step: &Step) -> Option<(Position, &Place<'a>)> {
        let sources = (0..).map_while(|before| entries.find("<<", before)).filter_map(|(_, value)| self.all.get(value));
        let mappings = sources.flat_map(|source| match self.resolved(source).map(|place| &place.content) {
            Some(Content::List(items)) => items.iter().filter_map(|item| self.all.get(*item)).collect(),
            _ => vec![source],
        });
        let Step::Key(wanted) = step else { return None };
        mappings.filter_map(|mapping| self.resolved(mapping)).find_map(|mapping| match &mapping.content {
            Content::Mapping(entries) => {
                let (at, value) = entries.find(wanted, 0)?;
                Some((at, self.all.get(value)?))
            }
            _ => None,
        })
    }

    /// The place itself or, for an alias, the one that it stands for. An anchor never lies on an alias.
    fn resolved<'s>(&'s self, place: &'s Place<'a>) -> Option<&'s Place<'a>> {
        match place.content {
            Content::Alias(anchor) => self.all.get(*self.anchors.get(&anchor)?),
            Content::List(_) | Content::Mapping(_) | Content::Scalar(_) => Some(place),
        }
    }
}

/// Builds [`Places`] from events.
#[derive(Default)]
struct Surveyor<'a> {
    places: Places<'a>,
    /// Lists and mappings that are still open, the outermost first.
    open: Vec<Open<'a>>,
    documents: usize,
}

/// A list or mapping whose end has not come yet.
struct Open<'a> {
    index: usize,
    /// In a mapping, the key that waits for its value.
    key: Option<(Cow<'a, str>, Position)>,
}

impl<'a> Surveyor<'a> {
    fn take(&mut self, event: Event<'a>, span: Span) {
        let position = Position::new(span.start.line(), span.start.col() + 1);
        if self.documents > 1 {
            return;
        }
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.places.second_document = Some(position);
                }
            }
            Event::Alias(anchor) => self.add(position, Content::Alias(anchor), 0, None),
            Event::Scalar(text, style, anchor, _) => {
                let plain = (style == ScalarStyle::Plain).then(|| text.clone());
                self.add(position, Content::Scalar(plain), anchor, Some(text));
            }
            Event::SequenceStart(anchor, _) => self.open(position, Content::List(Vec::new()), anchor),
            Event::MappingStart(anchor, _) => self.open(position, Content::Mapping(Entries::default()), anchor),
            Event::SequenceEnd | Event::MappingEnd => {
                self.open.pop();
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
    }

    fn open(&mut self, position: Position, content: Content<'a>, anchor: usize) {
        self.add(position, content, anchor, None);
        self.open.push(Open { index: self.places.all.len() - 1, key: None });
    }

    /// Adds a place to the list or mapping that is open; in a mapping every other one is a key.
    fn add(&mut self, position: Position, content: Content<'a>, anchor: usize, text: Option<Cow<'a, str>>) {
        let index = self.places.all.len();
        self.places.all.push(Place { position, content });
        if anchor > 0 {
            self.places.anchors.insert(anchor, index);
        }
        let Some(Open { index: outer, key }) = self.open.last_mut() else { return };
        match self.places.all.get_mut(*outer).map(|place| &mut place.content) {
            Some(Content::List(items)) => items.push(index),
            Some(Content::Mapping(entries)) => match key.take() {
                Some((key, at)) => entries.all.push((key, at, index)),
                None => *key = Some((text.unwrap_or_default(), position)),
            },
            Some(Content::Alias(_) | Content::Scalar(_)) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::problems::path::At;

    const TEXT: &str = "\
labels: {größe: 0x1f, größe: 2}
base: &base
  interval: 1s
  list: [a,   b]
targets:
  - url: x
    <<: *base
  - *base
";

    fn position(at: At<'_>, part: Part) -> (usize, usize) {
        let position = Places::survey(TEXT).position(&at.into(), part).unwrap();
        (position.line, position.column)
    }

    #[test]
    fn keys_and_values_have_their_places() {
        let root = At::Root;
        let (labels, base, targets) = (root.key("labels"), root.key("base"), root.key("targets"));
        let (list, first, second) = (base.key("list"), targets.item(0), targets.item(1));
        for (at, part, expected) in [
            (labels.key("größe"), Part::Value, (1, 17)),
            (labels.key("größe"), Part::Key(1), (1, 23)),
            (base.key("interval"), Part::Value, (3, 13)),
            (base.key("interval"), Part::Key(0), (3, 3)),
            (list.item(1), Part::Value, (4, 15)),
            (first, Part::Value, (6, 5)),
            (first.key("url"), Part::Value, (6, 10)),
            (first.key("interval"), Part::Value, (3, 13)),
            (second, Part::Value, (8, 5)),
            (second.key("list"), Part::Key(0), (4, 3)),
            (first.key("missing"), Part::Value, (6, 5)),
            (root.key("missing"), Part::Value, (1, 1)),
        ] {
            assert_eq!(position(at, part), expected, "{}", KeyPath::from(at));
        }
    }

    #[test]
    fn plain_scalars_are_told_as_written() {
        let places = Places::survey(TEXT);
        assert_eq!(places.written(&At::Root.key("labels").key("größe").into()), Some("0x1f"));
        assert_eq!(places.written(&At::Root.key("targets").item(0).key("interval").into()), Some("1s"));
        assert_eq!(places.written(&At::Root.key("labels").into()), None);
    }

    #[test]
    fn a_second_document_is_noticed() {
        let start = Places::survey("a: 1\n---\nb: 1\n").second_document().map(|position| position.line);
        assert_eq!(start, Some(2));
    }

    #[test]
    fn what_is_no_yaml_is_surveyed_as_far_as_it_goes() {
        for text in ["", "[", "a: [1, 2\nb: 3", "*x", "\u{0}", &"[".repeat(20_000)] {
            Places::survey(text);
        }
    }
}
