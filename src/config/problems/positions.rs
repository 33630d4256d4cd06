//! Positions of keys in a file: a second parse, needed only if there is a problem to report.
//!
//! `serde_yaml` drops positions. `saphyr-parser` reports the position of every event; from these a tree of positions is
//! built with an explicit stack, so that the depth of nesting does not matter. Aliases are followed, not expanded.

use std::borrow::Cow;
#[cfg(test)]
use std::cell::Cell;
use std::cell::OnceCell;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::config::problems::path::{KeyPath, Part, Position, Step};

/// Every position in a document, as far as it could be read.
#[derive(Debug, Default)]
pub(in crate::config) struct Positions<'a> {
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
    /// The text of a plain scalar; `None` for a quoted one.
    Scalar(Option<Cow<'a, str>>),
}

/// The entries of a mapping, in the order written.
#[derive(Debug, Default)]
struct Entries<'a> {
    /// Key, its position, and the value's index.
    all: Vec<(Cow<'a, str>, Position, usize)>,
    /// Indexes of each key; built on first use, so that many problems in a large mapping take linear time.
    by_key: OnceCell<HashMap<Cow<'a, str>, Vec<usize>>>,
    /// Number of entries that look-ups have read.
    #[cfg(test)]
    reads: Cell<usize>,
}

impl Entries<'_> {
    /// The entry of a key, of several equal ones the one after `before` others: the key's position and the value's
    /// index.
    fn find(&self, key: &str, before: usize) -> Option<(Position, usize)> {
        let by_key = self.by_key.get_or_init(|| {
            let mut by_key: HashMap<_, Vec<_>> = HashMap::with_capacity(self.all.len());
            for (index, (key, ..)) in self.all.iter().enumerate() {
                #[cfg(test)]
                self.reads.update(|reads| reads + 1);
                by_key.entry(key.clone()).or_default().push(index);
            }
            by_key
        });
        let (_, at, value) = self.all.get(*by_key.get(key)?.get(before)?)?;
        Some((*at, *value))
    }
}

impl<'a> Positions<'a> {
    /// Reads the positions in a YAML text. Stops silently at a syntax error.
    pub(in crate::config) fn read(text: &'a str) -> Self {
        let mut reader = PositionReader::default();
        let mut parser = Parser::new_from_str(text);
        while let Some(Ok((event, span))) = parser.next_event() {
            reader.take(event, span);
        }
        reader.positions
    }

    /// The position of a value or its key; if it does not exist, that of the nearest value around it.
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
        match self.content(path)? {
            Content::Scalar(text) => text.as_deref(),
            Content::Alias(_) | Content::List(_) | Content::Mapping(_) => None,
        }
    }

    /// The keys of a mapping as they are written, in their order, without merge keys.
    pub(in crate::config) fn keys(&self, path: &KeyPath) -> Vec<&str> {
        let Some(Content::Mapping(entries)) = self.content(path) else { return Vec::new() };
        let keys = entries.all.iter().map(|(key, ..)| &**key);
        keys.filter(|key| *key != "<<").collect()
    }

    fn content(&self, path: &KeyPath) -> Option<&Content<'a>> {
        if !path.is_in_file() {
            return None;
        }
        let mut place = self.all.first()?;
        for step in &path.steps {
            place = self.inner(place, step, 0)?.1;
        }
        Some(&self.resolved(place)?.content)
    }

    /// The start of the document.
    pub(in crate::config) fn start(&self) -> Option<Position> {
        self.all.first().map(|place| place.position)
    }

    /// The start of a second document.
    pub(in crate::config) fn second_document(&self) -> Option<Position> {
        self.second_document
    }

    /// The target of a step: the position of its key, and the value.
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

    /// The same in the mappings that merge keys (`<<`) refer to, one level deep.
    fn merged(&self, entries: &Entries<'a>, step: &Step) -> Option<(Position, &Place<'a>)> {
        let sources = (0..)
            .map_while(|before| entries.find("<<", before))
            .filter_map(|(_, value)| self.all.get(value));
        let mappings = sources.flat_map(|source| match self.resolved(source).map(|place| &place.content) {
            Some(Content::List(items)) => items.iter().filter_map(|item| self.all.get(*item)).collect(),
            _ => vec![source],
        });
        let Step::Key(wanted) = step else { return None };
        mappings
            .filter_map(|mapping| self.resolved(mapping))
            .find_map(|mapping| match &mapping.content {
                Content::Mapping(entries) => {
                    let (at, value) = entries.find(wanted, 0)?;
                    Some((at, self.all.get(value)?))
                }
                _ => None,
            })
    }

    /// The place itself or, for an alias, its anchor's. An anchor is never on an alias.
    fn resolved<'s>(&'s self, place: &'s Place<'a>) -> Option<&'s Place<'a>> {
        match place.content {
            Content::Alias(anchor) => self.all.get(*self.anchors.get(&anchor)?),
            Content::List(_) | Content::Mapping(_) | Content::Scalar(_) => Some(place),
        }
    }
}

/// Builds [`Positions`] from events.
#[derive(Default)]
struct PositionReader<'a> {
    positions: Positions<'a>,
    /// Lists and mappings that have not ended yet, the outermost first.
    open: Vec<Open<'a>>,
    documents: usize,
}

/// A list or mapping that has not ended yet.
struct Open<'a> {
    index: usize,
    /// In a mapping, the key whose value comes next.
    key: Option<(Cow<'a, str>, Position)>,
}

impl<'a> PositionReader<'a> {
    fn take(&mut self, event: Event<'a>, span: Span) {
        let position = Position::new(span.start.line(), span.start.col() + 1);
        if self.documents > 1 {
            return;
        }
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.positions.second_document = Some(position);
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
        self.open.push(Open { index: self.positions.all.len() - 1, key: None });
    }

    /// Adds a place to the innermost open list or mapping; in a mapping every other one is a key.
    fn add(&mut self, position: Position, content: Content<'a>, anchor: usize, text: Option<Cow<'a, str>>) {
        let index = self.positions.all.len();
        self.positions.all.push(Place { position, content });
        if anchor > 0 {
            self.positions.anchors.insert(anchor, index);
        }
        let Some(Open { index: outer, key }) = self.open.last_mut() else { return };
        match self.positions.all.get_mut(*outer).map(|place| &mut place.content) {
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
    use crate::config::problems::path::{BorrowedPath, PathRoot};

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

    const ROOT: BorrowedPath<'_> = BorrowedPath::Root(PathRoot::File);

    #[test]
    fn keys_and_values_have_positions() {
        let key = |path: &KeyPath, key| path.join(key);
        let root = KeyPath::from(ROOT);
        let (labels, base, targets) = (root.join("labels"), root.join("base"), root.join("targets"));
        let (first, second) = (targets.item(0), targets.item(1));
        for (path, part, expected) in [
            (key(&labels, "größe"), Part::Value, (1, 17)),
            (key(&labels, "größe"), Part::Key(1), (1, 23)),
            (key(&base, "interval"), Part::Value, (3, 13)),
            (key(&base, "interval"), Part::Key(0), (3, 3)),
            (key(&base, "list").item(1), Part::Value, (4, 15)),
            (first.clone(), Part::Value, (6, 5)),
            (key(&first, "url"), Part::Value, (6, 10)),
            (key(&first, "interval"), Part::Value, (3, 13)),
            (second.clone(), Part::Value, (8, 5)),
            (key(&second, "list"), Part::Key(0), (4, 3)),
            (key(&first, "missing"), Part::Value, (6, 5)),
            (key(&root, "missing"), Part::Value, (1, 1)),
        ] {
            let position = Positions::read(TEXT).position(&path, part).unwrap();
            assert_eq!((position.line, position.column), expected, "{path}");
        }
    }

    #[test]
    fn plain_scalars_are_returned_as_written() {
        let (positions, root) = (Positions::read(TEXT), KeyPath::from(ROOT));
        assert_eq!(positions.written(&root.join("labels").join("größe")), Some("0x1f"));
        assert_eq!(positions.written(&root.join("targets").item(0).join("interval")), Some("1s"));
        assert_eq!(positions.written(&root.join("labels")), None);
    }

    #[test]
    fn many_look_ups_read_each_entry_once() {
        let keys: Vec<_> = (0..1000).map(|number| format!("key{number}")).collect();
        let lines: Vec<_> = keys.iter().map(|key| format!("{key}: 1\n")).collect();
        let text = lines.concat();
        let (positions, root) = (Positions::read(&text), KeyPath::from(ROOT));
        for (key, line) in keys.iter().zip(1..) {
            assert_eq!(positions.position(&root.join(key), Part::Key(0)).unwrap().line, line);
        }
        let Content::Mapping(entries) = &positions.all[0].content else { panic!("a mapping") };
        assert_eq!(entries.reads.get(), keys.len());
    }

    #[test]
    fn a_second_document_is_found() {
        let start = Positions::read("a: 1\n---\nb: 1\n")
            .second_document()
            .map(|position| position.line);
        assert_eq!(start, Some(2));
    }

    #[test]
    fn invalid_yaml_causes_no_panic() {
        for text in ["", "[", "a: [1, 2\nb: 3", "*x", "\u{0}", &"[".repeat(20_000)] {
            Positions::read(text);
        }
    }
}
