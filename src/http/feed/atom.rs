//! A feed in the Atom Syndication Format (RFC 4287).

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;

use crate::board::State;
use crate::clock::Timestamp;
use crate::http::markup::Xml;

/// A feed that displays itself as a document. Links may be relative to it.
#[derive(Debug)]
pub(in crate::http) struct Feed<'a> {
    /// The parts of a text that no other feed has.
    pub(in crate::http) id: &'a [&'a str],
    pub(in crate::http) title: &'a str,
    /// The time of its latest entry, or of its beginning.
    pub(in crate::http) updated: Timestamp,
    pub(in crate::http) own_link: String,
    pub(in crate::http) page_link: String,
    /// The latest first.
    pub(in crate::http) entries: Vec<Entry>,
}

/// A change of state.
#[derive(Debug)]
pub(in crate::http) struct Entry {
    pub(in crate::http) id: Uuid,
    pub(in crate::http) title: String,
    pub(in crate::http) at: Timestamp,
    pub(in crate::http) link: String,
    pub(in crate::http) text: String,
}

impl Entry {
    /// Returns the id of the change to a state in an incident, the same in every response and after a restart.
    pub(in crate::http) fn id(name: &[&str], began: Timestamp, to: State) -> Uuid {
        let began = began.to_string();
        Uuid::of(name.iter().copied().chain([&*began, to.as_str()]))
    }
}

impl fmt::Display for Feed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, r#"<?xml version="1.0" encoding="utf-8"?>"#)?;
        writeln!(f, r#"<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="en">"#)?;
        writeln!(f, "<id>{}</id>", Uuid::of(self.id.iter().copied()))?;
        writeln!(f, "<title>{}</title>", Xml(self.title))?;
        writeln!(f, "<updated>{}</updated>", self.updated)?;
        writeln!(f, "<author><name>portprobe</name></author>")?;
        writeln!(f, r#"<generator version="{}">portprobe</generator>"#, env!("CARGO_PKG_VERSION"))?;
        writeln!(f, r#"<link rel="self" type="application/atom+xml" href="{}"/>"#, Xml(&self.own_link))?;
        writeln!(f, r#"<link rel="alternate" type="text/html" href="{}"/>"#, Xml(&self.page_link))?;
        self.entries.iter().try_for_each(|entry| write!(f, "{entry}"))?;
        writeln!(f, "</feed>")
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, title, at, link, text } = self;
        writeln!(f, "<entry>")?;
        writeln!(f, "<id>{id}</id>")?;
        writeln!(f, "<title>{}</title>", Xml(title))?;
        writeln!(f, "<updated>{at}</updated>")?;
        writeln!(f, r#"<link rel="alternate" type="text/html" href="{}"/>"#, Xml(link))?;
        writeln!(f, "<content>{}</content>", Xml(text))?;
        writeln!(f, "</entry>")
    }
}

/// A name-based UUID with a custom hash (version 8 of RFC 9562).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::http) struct Uuid([u8; 16]);

impl Uuid {
    /// Returns the UUID of a text in parts.
    fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            // Names have no control characters, so that no two lists of parts are the same text.
            context.update(part.as_bytes());
            context.update(b"\0");
        }
        let mut bytes = [0; 16];
        bytes
            .iter_mut()
            .zip(context.finish().as_ref())
            .for_each(|(byte, hash)| *byte = *hash);
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = HEXLOWER.encode(&self.0);
        let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| digits.get(range).unwrap_or_default());
        write!(f, "urn:uuid:{}", parts.join("-"))
    }
}

/// The media type (RFC 4287 section 7).
pub(in crate::http) const MEDIA_TYPE: &str = "application/atom+xml; charset=utf-8";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use roxmltree::Document;

    use super::*;

    fn moment(seconds: u64) -> Timestamp {
        Timestamp::since_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn ids_depend_on_every_part() {
        let ids = [
            Entry::id(&["a", "b"], moment(1), State::Up),
            Entry::id(&["a", "b"], moment(1), State::Down),
            Entry::id(&["a", "b"], moment(2), State::Up),
            Entry::id(&["ab", ""], moment(1), State::Up),
        ];
        let distinct: std::collections::HashSet<_> = ids.iter().map(ToString::to_string).collect();
        assert_eq!(distinct.len(), ids.len());
        let text = ids[0].to_string();
        assert_eq!(text, Entry::id(&["a", "b"], moment(1), State::Up).to_string(), "stable");
        let digits: Vec<usize> = text.trim_start_matches("urn:uuid:").split('-').map(str::len).collect();
        assert_eq!(digits, [8, 4, 4, 4, 12]);
        assert_eq!(&text[23..24], "8", "{text}");
    }

    #[test]
    fn hostile_text_stays_text() {
        let hostile = "</title><script>alert(1)</script>&\u{202e}\"'";
        let entry = Entry {
            id: Entry::id(&[hostile], moment(1), State::Down),
            title: hostile.to_owned(),
            at: moment(1),
            link: hostile.to_owned(),
            text: hostile.to_owned(),
        };
        let feed = Feed {
            id: &["test"],
            title: hostile,
            updated: moment(1),
            own_link: hostile.to_owned(),
            page_link: hostile.to_owned(),
            entries: vec![entry],
        };
        let feed = feed.to_string();
        let document = Document::parse(&feed).unwrap();
        let shown = r#"</title><script>alert(1)</script>&\u{202e}"'"#;
        assert!(document.descendants().all(|node| node.tag_name().name() != "script"));
        let titles: Vec<_> = document
            .descendants()
            .filter(|node| node.tag_name().name() == "title")
            .filter_map(|node| node.text())
            .collect();
        assert_eq!(titles, [shown, shown]);
    }
}
