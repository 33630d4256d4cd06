//! Text in XML. Names of targets and texts of peers are hostile.

use std::fmt::{self, Write as _};

use crate::peer_text::is_invisible;

/// A text that displays itself as content or as the value of an attribute.
///
/// Characters that would change the direction of the text around them, or that nobody sees, are shown as escapes such as
/// `\u{202e}`; those that XML does not allow are replaced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Xml<'a>(pub(super) &'a str);

impl fmt::Display for Xml<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\u{fffe}' | '\u{ffff}' => f.write_char(char::REPLACEMENT_CHARACTER)?,
                _ if is_invisible(character) => write!(f, "{}", character.escape_default())?,
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use roxmltree::Document;

    use super::*;

    #[test]
    fn hostile_text_is_shown_harmless() {
        for (text, shown) in [
            ("<b a=\"1\" c='2'>&amp;", "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;amp;"),
            ("a\u{202e}b\nc\u{feff}", r"a\u{202e}b\nc\u{feff}"),
            ("]]>\u{fffe}", "]]&gt;\u{fffd}"),
        ] {
            assert_eq!(Xml(text).to_string(), shown);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_well_formed(text in any::<String>()) {
            let xml = format!("<a b=\"{0}\">{0}</a>", Xml(&text));
            let document = Document::parse(&xml).unwrap();
            prop_assert_eq!(document.root_element().attribute("b"), Some(document.root_element().text().unwrap_or_default()));
        }
    }
}
