//! YAML text with comments, which YAML libraries do not keep: mappings and lists, written in the order they are built.
//!
//! A mapping that fits a line is written on one line, except the outer ones.

use std::fmt::Write as _;
use std::mem;

use crate::peer_text::is_invisible;
use crate::target::hide_query_values;

pub(super) use self::step::Step;

mod step;

/// A mapping: its entries and comments, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Block(Vec<Line>);

#[derive(Clone, Debug)]
enum Line {
    Comment(String),
    Entry(String, Content),
}

/// The value of an entry.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Block(Block),
    List(List),
    /// YAML on one line.
    Yaml(String),
}

/// A list of mappings, with comments between them.
#[derive(Clone, Debug, Default)]
pub(super) struct List(Vec<Item>);

#[derive(Clone, Debug)]
enum Item {
    Comment(String),
    Block(Block),
}

impl Block {
    /// Whether there is anything but comments.
    pub(super) fn has_entries(&self) -> bool {
        self.0.iter().any(|line| matches!(line, Line::Entry(..)))
    }

    /// Adds a remark.
    pub(super) fn comment(&mut self, text: impl Into<String>) {
        self.0.push(Line::Comment(text.into()));
    }

    /// Adds a comment in place of a setting without an equivalent.
    pub(super) fn omit(&mut self, setting: &str, reason: &str) {
        self.comment(omitted(setting, reason));
    }

    /// Adds an entry whose value is YAML on one line.
    pub(super) fn yaml(&mut self, key: impl Into<String>, yaml: impl Into<String>) {
        self.0.push(Line::Entry(key.into(), Content::Yaml(yaml.into())));
    }

    /// Adds an entry whose value is a text.
    pub(super) fn text(&mut self, key: impl Into<String>, value: &str) {
        self.yaml(key, scalar(value));
    }

    /// Adds an entry whose value is a list of scalars in YAML.
    pub(super) fn sequence(&mut self, key: impl Into<String>, values: &[String]) {
        self.yaml(key, format!("[{}]", values.join(", ")));
    }

    /// Adds an entry whose value is a mapping, unless that is empty. Comments without an entry are added here.
    pub(super) fn block(&mut self, key: impl Into<String>, block: Self) {
        if block.has_entries() {
            self.0.push(Line::Entry(key.into(), Content::Block(block)));
        } else {
            self.0.extend(block.0);
        }
    }

    /// Adds an entry whose value is a list.
    pub(super) fn list(&mut self, key: impl Into<String>, list: List) {
        self.0.push(Line::Entry(key.into(), Content::List(list)));
    }

    /// Sets the value of a key, in the place that it has.
    pub(super) fn replace(&mut self, key: &str, yaml: &str) {
        let known = self
            .0
            .iter_mut()
            .find(|line| matches!(line, Line::Entry(known, _) if known == key));
        let entry = Line::Entry(key.to_owned(), Content::Yaml(yaml.to_owned()));
        match known {
            Some(line) => *line = entry,
            None => self.insert(entry),
        }
    }

    /// Adds an entry after the first one, which is the scheme of a module.
    pub(super) fn set_first(&mut self, key: &str, yaml: &str) {
        self.insert(Line::Entry(key.to_owned(), Content::Yaml(yaml.to_owned())));
    }

    fn insert(&mut self, line: Line) {
        self.0.insert(self.0.len().min(1), line);
    }

    /// The number of items in the list of a key.
    pub(super) fn count(&self, key: &str) -> usize {
        let items = self.0.iter().find_map(|line| match line {
            Line::Entry(known, Content::List(list)) if known == key => Some(&list.0),
            _ => None,
        });
        items
            .into_iter()
            .flatten()
            .filter(|item| matches!(item, Item::Block(_)))
            .count()
    }

    /// Appends the lines of another mapping.
    pub(super) fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Replaces the value at a path, or the nearest one around it, by a comment with the reason. Returns whether there
    /// is such a value.
    pub(super) fn refuse(&mut self, path: &[Step<'_>], reason: &str) -> bool {
        let [Step::Key(key), rest @ ..] = path else { return false };
        let Some(line) = self
            .0
            .iter_mut()
            .find(|line| matches!(line, Line::Entry(known, _) if known == key))
        else {
            return false;
        };
        let is_inner = match line {
            Line::Entry(_, Content::Block(block)) => block.refuse(rest, reason),
            Line::Entry(_, Content::List(list)) => list.refuse(rest, reason),
            Line::Entry(_, Content::Yaml(_)) | Line::Comment(_) => false,
        };
        if !is_inner {
            *line = Line::Comment(omitted(key, reason));
        }
        true
    }

    /// Writes the mapping as a document.
    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, 0);
        text
    }

    fn write(&self, text: &mut String, indent: usize) {
        for line in &self.0 {
            match line {
                Line::Comment(comment) => write_comment(text, comment, indent),
                Line::Entry(key, content) => content.write(text, key, indent),
            }
        }
    }

    /// The mapping on one line; `None` if it has comments or lists.
    fn flow(&self) -> Option<String> {
        let entries = self.0.iter().map(|line| match line {
            Line::Entry(key, Content::Yaml(yaml)) => Some(format!("{}: {yaml}", scalar(key))),
            Line::Entry(key, Content::Block(block)) => Some(format!("{}: {}", scalar(key), block.flow()?)),
            Line::Entry(_, Content::List(_)) | Line::Comment(_) => None,
        });
        let entries: Vec<_> = entries.collect::<Option<_>>()?;
        Some(format!("{{ {} }}", entries.join(", ")))
    }

    /// A name for the comment in place of this item.
    fn title(&self) -> String {
        let value = |wanted: &&str| {
            self.0.iter().find_map(|line| match line {
                Line::Entry(key, Content::Yaml(yaml)) if key == wanted => Some(yaml.trim_matches('\'')),
                _ => None,
            })
        };
        let title = ["name", "url", "file"].iter().find_map(value);
        shown(title.unwrap_or_default())
    }
}

impl Content {
    fn write(&self, text: &mut String, key: &str, indent: usize) {
        let start = format!("{:indent$}{}:", "", scalar(key));
        match self {
            Self::Yaml(yaml) => push_line(text, &format!("{start} {yaml}")),
            // The comments that remain after a refusal.
            Self::Block(block) if !block.has_entries() => block.write(text, indent),
            Self::Block(block) => {
                let flow = block.flow().map(|flow| format!("{start} {flow}"));
                if let Some(line) = flow.filter(|line| indent >= FLOW_INDENT && line.len() <= WIDTH) {
                    push_line(text, &line);
                } else {
                    push_line(text, &start);
                    block.write(text, indent + 2);
                }
            }
            Self::List(list) => {
                push_line(text, &start);
                list.write(text, indent + 2);
            }
        }
    }
}

impl List {
    pub(super) fn has_items(&self) -> bool {
        self.0.iter().any(|item| matches!(item, Item::Block(_)))
    }

    /// Whether there are neither items nor comments.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends the items and comments of another list.
    pub(super) fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Adds a remark before the next item.
    pub(super) fn comment(&mut self, text: impl Into<String>) {
        self.0.push(Item::Comment(text.into()));
    }

    /// Adds a comment in place of an item without an equivalent.
    pub(super) fn omit(&mut self, item: &str, reason: &str) {
        self.comment(omitted(item, reason));
    }

    pub(super) fn push(&mut self, block: Block) {
        self.0.push(Item::Block(block));
    }

    /// The comments as those of a mapping, for a list without items.
    pub(super) fn into_comments(self) -> Block {
        let comments = self.0.into_iter().filter_map(|item| match item {
            Item::Comment(comment) => Some(Line::Comment(comment)),
            Item::Block(_) => None,
        });
        Block(comments.collect())
    }

    fn refuse(&mut self, path: &[Step<'_>], reason: &str) -> bool {
        let [Step::Item(index), rest @ ..] = path else { return false };
        let mut items = self.0.iter_mut().filter(|item| matches!(item, Item::Block(_)));
        let Some(item) = items.nth(*index) else { return false };
        if let Item::Block(block) = item {
            let is_part = matches!(rest.first(), Some(Step::Key(key)) if !NECESSARY.contains(key));
            if !is_part || !block.refuse(rest, reason) {
                *item = Item::Comment(omitted(&block.title(), reason));
            }
        }
        true
    }

    fn write(&self, text: &mut String, indent: usize) {
        for item in &self.0 {
            match item {
                Item::Comment(comment) => write_comment(text, comment, indent),
                Item::Block(block) => {
                    let flow = block.flow().map(|flow| format!("{:indent$}- {flow}", ""));
                    if let Some(line) = flow.filter(|line| line.len() <= WIDTH) {
                        push_line(text, &line);
                        continue;
                    }
                    let mut lines = String::new();
                    block.write(&mut lines, indent + 2);
                    // The dash replaces a part of the first indent.
                    let rest = lines.get(indent + 2..).unwrap_or_default();
                    let _ = write!(text, "{:indent$}- {rest}", "");
                }
            }
        }
    }
}

/// The number of comments in place of settings and items without an equivalent.
pub(super) fn count_omitted(text: &str) -> usize {
    text.lines().filter(|line| line.trim_start().starts_with(OMITTED)).count()
}

/// Writes a text as a scalar: plain if that cannot be mistaken, otherwise quoted.
pub(super) fn scalar(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    if !text.chars().any(|c| c.is_control() || is_invisible(c)) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() || is_invisible(c) => {
                let _ = write!(quoted, "\\U{:08x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A value from an input file for a comment: short, on one line, without what may be a password.
pub(super) fn shown(text: &str) -> String {
    if text.contains('@') {
        return "(hidden, may contain a password)".to_owned();
    }
    let text = if text.contains("://") { hide_query_values(text) } else { text.into() };
    let mut start: String = text
        .chars()
        .take(MAX_SHOWN)
        .map(|c| if is_invisible(c) || c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        start.push_str("...");
    }
    start
}

fn omitted(what: &str, reason: &str) -> String {
    format!("not imported: {what}: {reason}")
}

/// Whether a text can be written without quotes: neither a number, nor a truth value, nor with a character that has a
/// meaning.
fn is_plain(text: &str) -> bool {
    let starts_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '/'));
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '.' | '-' | '+');
    starts_plain && text.chars().all(word) && !WORDS.contains(&&*text.to_ascii_lowercase())
}

/// Writes a comment, wrapped; further lines are indented.
fn write_comment(text: &mut String, comment: &str, indent: usize) {
    let mut line = format!("{:indent$}#", "");
    for word in comment.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH && line.trim_start().len() > 3 {
            push_line(text, &mem::replace(&mut line, format!("{:indent$}#  ", "")));
        }
        line.push(' ');
        line.push_str(word);
    }
    push_line(text, &line);
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// The start of the comments in place of settings and items without an equivalent.
const OMITTED: &str = "# not imported:";

/// Longer lines are wrapped.
const WIDTH: usize = 118;

/// Mappings are on one line from this indent on.
const FLOW_INDENT: usize = 2;

/// Longer values are cut in comments.
const MAX_SHOWN: usize = 60;

/// Keys without which an item is nothing.
const NECESSARY: [&str; 6] = ["dns", "file", "http", "module", "url", "urls"];

/// Texts that YAML or its older version reads as something else.
const WORDS: [&str; 9] = ["false", "n", "no", "null", "off", "on", "true", "y", "yes"];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::config::ForeignFile;

    proptest! {
        #[test]
        fn texts_are_read_as_they_were_written(text in any::<String>(), key in any::<String>()) {
            let mut inner = Block::default();
            inner.text(&*key, &text);
            let mut item = Block::default();
            item.block("inner", inner);
            item.comment(&text);
            let mut list = List::default();
            list.push(item);
            let mut block = Block::default();
            block.text("outer", &text);
            block.list("items", list);
            let file = ForeignFile::parse(Path::new("a.yml"), block.to_text()).unwrap();
            prop_assert_eq!(file.root().child("outer").text().unwrap(), text.clone());
            let items = file.root().child("items").items().unwrap();
            let inner = items[0].child("inner").entries().unwrap();
            prop_assert_eq!((inner[0].0, inner[0].1.text().unwrap()), (&*key, text));
        }

    }

    #[test]
    fn only_harmless_texts_are_plain() {
        for (value, written) in [
            ("tcp_connect", "tcp_connect"),
            ("/etc/ca.pem", "/etc/ca.pem"),
            ("smtp+starttls", "smtp+starttls"),
            ("10.0.0.1:22", "'10.0.0.1:22'"),
            ("yes", "'yes'"),
            ("Null", "'Null'"),
            ("", "''"),
            ("it's", "'it''s'"),
            ("a: b # c", "'a: b # c'"),
            ("a\n\"\\\u{202e}", "\"a\\n\\\"\\\\\\U0000202e\""),
        ] {
            assert_eq!(scalar(value), written);
        }
    }

    #[test]
    fn values_of_queries_are_not_shown() {
        assert_eq!(shown("http://p/?token=hunter2"), "http://p/?token=<hidden>");
        assert_eq!(shown("ok ?yes"), "ok ?yes");
    }

    #[test]
    fn comments_are_wrapped() {
        let mut block = Block::default();
        block.comment("word ".repeat(40));
        let text = block.to_text();
        assert!(text.lines().count() == 2 && text.lines().all(|line| line.len() <= WIDTH), "{text}");
        assert!(text.lines().nth(1).unwrap().starts_with("#   word"), "{text}");
    }

    #[test]
    fn a_refused_value_becomes_a_comment() {
        let mut item = Block::default();
        item.text("url", "tcp://a:1");
        item.text("name", "a b");
        let mut list = List::default();
        list.comment("Job a");
        list.push(item.clone());
        list.push(item);
        let mut block = Block::default();
        block.list("targets", list);
        assert!(block.refuse(&Step::of("targets[0].name"), "is taken"));
        assert!(block.refuse(&Step::of("targets[1].url"), "is wrong"));
        assert!(!block.refuse(&Step::of("other"), "is wrong"));
        let expected = "targets:\n  # Job a\n  - url: 'tcp://a:1'\n    # not imported: name: is taken\n  \
                        # not imported: a b: is wrong\n";
        assert_eq!(block.to_text(), expected);
    }
}
