//! The format of log lines: logfmt or JSON, each with the keys `ts`, `level` and `msg`, then the fields of the event.
//!
//! Text from a peer cannot break a line or hide a part of it in either format.

use std::fmt::{self, Debug, Write};

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::Format;
use crate::clock::{self, Timestamp};
use crate::peer_text::is_invisible;

impl<S, N> FormatEvent<S, N> for Format
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let Fields { message, others } = fields;
        out.write_str(&line(*self, clock::now(), *event.metadata().level(), &message, others))
    }
}

/// Returns a line with its line break.
pub(super) fn line(
    format: Format,
    at: Timestamp,
    level: Level,
    message: &str,
    fields: impl IntoIterator<Item = (&'static str, Value)>,
) -> String {
    let level = level.as_str().to_ascii_lowercase();
    let always = [("ts", at.to_string().into()), ("level", level.into()), ("msg", message.into())];
    let mut line = String::new();
    for (key, value) in always.into_iter().chain(fields) {
        match format {
            Format::Json => {
                line.push_str(if line.is_empty() { "{" } else { "," });
                line.push_str(&quoted(&key.into()));
                line.push(':');
                line.push_str(&quoted(&value));
            }
            Format::Logfmt => {
                line.push_str(if line.is_empty() { "" } else { " " });
                line.push_str(key);
                line.push('=');
                match value {
                    Value::String(text) if is_plain(&text) => line.push_str(&text),
                    value => line.push_str(&quoted(&value)),
                }
            }
        }
    }
    line.push_str(if format == Format::Json { "}\n" } else { "\n" });
    line
}

/// Returns whether a text needs no quotes in logfmt.
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && !text.contains(|character: char| {
            character.is_whitespace() || matches!(character, '"' | '=' | '\\') || is_invisible(character)
        })
}

/// Returns the JSON of a value, in which invisible characters are escaped.
fn quoted(value: &Value) -> String {
    let json = value.to_string();
    let mut quoted = String::with_capacity(json.len());
    for character in json.chars() {
        if is_invisible(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\u{unit:04x}");
            }
        } else {
            quoted.push(character);
        }
    }
    quoted
}

/// The message and the other fields of an event.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        self.others.push((field.name(), value));
    }
}

impl Visit for Fields {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.add(field, text.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn lines_have_time_level_and_message_first() {
        let at = Timestamp::since_epoch(Duration::from_millis(1_795_207_992_007));
        let fields = || {
            let texts = [("plain", "a:1"), ("empty", ""), ("spaces", "a b"), ("quote", "say \"a=b\"")];
            let texts = texts.map(|(key, text)| (key, Value::from(text)));
            texts.into_iter().chain([("number", 3.into()), ("flag", true.into())])
        };
        assert_eq!(
            line(Format::Logfmt, at, Level::WARN, "Cannot do it", fields()),
            concat!(
                r#"ts=2026-11-20T20:53:12.007Z level=warn msg="Cannot do it" plain=a:1 empty="" spaces="a b" "#,
                r#"quote="say \"a=b\"" number=3 flag=true"#,
                "\n"
            )
        );
        assert_eq!(
            line(Format::Json, at, Level::WARN, "Cannot do it", fields()),
            concat!(
                r#"{"ts":"2026-11-20T20:53:12.007Z","level":"warn","msg":"Cannot do it","plain":"a:1","empty":"","#,
                r#""spaces":"a b","quote":"say \"a=b\"","number":3,"flag":true}"#,
                "\n"
            )
        );
    }

    #[test]
    fn invisible_characters_are_escaped() {
        for format in [Format::Json, Format::Logfmt] {
            let hostile = Value::from("a\u{202e}b\u{e0001}c\nd");
            let line = line(format, Timestamp::default(), Level::INFO, "m", [("text", hostile)]);
            assert!(line.contains(r#""a\u202eb\udb40\udc01c\nd""#), "{line}");
        }
    }
}
