//! The paths in problems of a configuration.

/// A step of a path to a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::blackbox::import) enum Step<'a> {
    Item(usize),
    Key(&'a str),
}

impl<'a> Step<'a> {
    /// The steps of a written path, such as `targets[2].timeout`. Names with other characters are in backquotes.
    pub(in crate::blackbox::import) fn of(path: &'a str) -> Vec<Self> {
        let mut steps = Vec::new();
        let mut rest = path;
        while !rest.is_empty() {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            let (step, after) = if let Some(quoted) = rest.strip_prefix('`') {
                let (key, after) = quoted.split_once('`').unwrap_or((quoted, ""));
                (Self::Key(key), after)
            } else if let Some((index, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                (Self::Item(index.parse().unwrap_or_default()), after)
            } else {
                // At least one character, so that every path ends.
                let mut ends = rest.char_indices().skip(1).filter(|(_, c)| matches!(c, '.' | '['));
                let (key, after) = rest.split_at(ends.next().map_or(rest.len(), |(index, _)| index));
                (Self::Key(key), after)
            };
            steps.push(step);
            rest = after;
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_has_a_path(path in "[a.`\\[\\]0]{0,12}") {
            let _ = Step::of(&path);
        }
    }

    #[test]
    fn paths_are_split_into_steps() {
        let steps = [Step::Key("modules"), Step::Key("a b"), Step::Key("http"), Step::Item(2), Step::Key("x")];
        assert_eq!(Step::of("modules.`a b`.http[2].x"), steps);
        assert_eq!(Step::of("[x.`a"), [Step::Key("[x"), Step::Key("a")], "no path is endless");
    }
}
