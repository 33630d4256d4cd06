//! What somebody may have meant: the known word nearest to an unknown one.

/// The nearest of the known words, if it is near enough to be meant.
pub(in crate::config) fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if found.len() > MAX_BYTES {
        return None;
    }
    let found = found.to_lowercase();
    let near = |word: &&str| distance(&found, word);
    let best = known.into_iter().min_by_key(near)?;
    (distance(&found, best) <= (best.len() / 3).max(1)).then_some(best)
}

/// How many letters must be put in, left out, replaced or swapped with their neighbour to get from one to the other.
fn distance(from: &str, to: &str) -> usize {
    strsim::osa_distance(from, to)
}

/// No key is that long, and the comparison is quadratic.
const MAX_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_something_else_is_not() {
        let known = ["interval", "timeout", "ip", "url", "urls"];
        for (found, meant) in [
            ("intervall", Some("interval")),
            ("Timeout", Some("timeout")),
            ("time_out", Some("timeout")),
            ("itnerval", Some("interval")),
            ("pi", Some("ip")),
            ("URL", Some("url")),
            ("every", None),
            ("", None),
            (&"x".repeat(100), None),
        ] {
            assert_eq!(nearest(found, known), meant, "{found}");
        }
    }
}
