//! Queries of URLs, whose values may be secret.

use std::borrow::Cow;

/// Returns a URL with `<hidden>` in place of the values of its query, for logs and pages.
pub fn hide_query_values(url: &str) -> Cow<'_, str> {
    let Some((before, query)) = url.split_once('?') else { return url.into() };
    let parts: Vec<_> = query.split('&').map(hide_value).collect();
    format!("{before}?{}", parts.join("&")).into()
}

/// Returns the first key of a URL's query that looks like that of a secret.
pub fn secret_query_key(url: &str) -> Option<&str> {
    let (_, query) = url.split_once('?')?;
    query.split('&').find_map(|part| {
        let (key, value) = part.split_once('=')?;
        let lower = key.to_ascii_lowercase();
        (!value.is_empty() && SECRET_KEYS.iter().any(|secret| lower.contains(secret))).then_some(key)
    })
}

fn hide_value(part: &str) -> String {
    match part.split_once('=') {
        Some((key, value)) if !value.is_empty() => format!("{key}=<hidden>"),
        None if !part.is_empty() => "<hidden>".to_owned(),
        Some(_) | None => part.to_owned(),
    }
}

/// Parts of keys of secrets.
const SECRET_KEYS: [&str; 10] =
    ["access_key", "api-key", "api_key", "apikey", "auth", "credential", "passw", "secret", "signature", "token"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_values_of_queries_are_hidden() {
        for (url, expected) in [
            ("https://a.example/sd", "https://a.example/sd"),
            ("https://a.example/sd?token=s3cret&team=x", "https://a.example/sd?token=<hidden>&team=<hidden>"),
            ("https://a.example/sd?s3cret", "https://a.example/sd?<hidden>"),
            ("https://a.example/sd?a=b=c&d=&&e?f=g", "https://a.example/sd?a=<hidden>&d=&&e?f=<hidden>"),
            ("a.example:80/?", "a.example:80/?"),
        ] {
            assert_eq!(hide_query_values(url), expected);
        }
    }

    #[test]
    fn keys_of_secrets_are_recognised() {
        for (url, expected) in [
            ("https://a.example/token=x", None),
            ("https://a.example/?team=x&page=2&token=", None),
            ("https://a.example/?team=x&Access_Token=x", Some("Access_Token")),
            ("https://a.example/?X-Amz-Signature=x", Some("X-Amz-Signature")),
        ] {
            assert_eq!(secret_query_key(url), expected, "{url}");
        }
    }
}
