//! The parameters of requests.

use std::borrow::Cow;

use crate::board::State;
use crate::inventory::{Page, Sort, SortKey, TargetQuery};
use crate::store::IncidentQuery;

/// The names and values of a query string. An empty value is absent.
#[derive(Debug)]
pub(in crate::http) struct Parameters<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// A parameter cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(in crate::http) enum ParameterError {
    /// It occurs more than once.
    #[error("{0}: is given twice; remove one")]
    Repeated(&'static str),
    /// The resource does not have it.
    #[error("unknown parameter `{0}`; must be {1}")]
    Unknown(String, String),
    /// Its value is not valid.
    #[error("{0}: `{1}` is not valid; must be {2}")]
    Value(&'static str, String, String),
}

impl<'a> Parameters<'a> {
    pub(in crate::http) fn of(query: &'a str) -> Self {
        let pairs = form_urlencoded::parse(query.as_bytes());
        Self(pairs.filter(|(_, value)| !value.is_empty()).collect())
    }

    /// Checks that there is none.
    pub(super) fn none(&self) -> Result<(), ParameterError> {
        self.known(&[])
    }

    /// Returns the query of `/api/v1/targets`.
    pub(in crate::http) fn targets(&self) -> Result<TargetQuery, ParameterError> {
        self.known(&["state", "label", "group", "protocol", "text", "sort", "limit", "offset"])?;
        Ok(TargetQuery {
            states: self.all("state").map(state).collect::<Result<_, _>>()?,
            labels: self.all("label").map(label).collect::<Result<_, _>>()?,
            group: self.one("group")?.map(str::to_owned),
            protocol: self.one("protocol")?.map(str::to_owned),
            text: self.one("text")?.map(str::to_owned),
            sort: self.one("sort")?.map(sort).transpose()?.unwrap_or_default(),
            page: self.page()?,
        })
    }

    /// Returns the query of `/api/v1/incidents`.
    pub(super) fn incidents(&self) -> Result<IncidentQuery, ParameterError> {
        self.known(&["target", "open", "limit", "offset"])?;
        let is_open = match self.one("open")? {
            None => None,
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(other) => return Err(invalid("open", other, "true or false")),
        };
        Ok(IncidentQuery { target: self.one("target")?.map(str::to_owned), is_open, page: self.page()? })
    }

    fn page(&self) -> Result<Page, ParameterError> {
        let default = Page::default();
        let limit = self.number("limit", 1, Page::MAX_LIMIT)?.unwrap_or(default.limit);
        Ok(Page { limit, offset: self.number("offset", 0, usize::MAX)?.unwrap_or(default.offset) })
    }

    fn number(&self, name: &'static str, min: usize, max: usize) -> Result<Option<usize>, ParameterError> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let number = text.parse().ok().filter(|number| (min..=max).contains(number));
        let expected =
            || if max == usize::MAX { "a number".to_owned() } else { format!("a number from {min} to {max}") };
        number.map(Some).ok_or_else(|| invalid(name, text, expected()))
    }

    fn known(&self, names: &[&str]) -> Result<(), ParameterError> {
        let Some((unknown, _)) = self.0.iter().find(|(name, _)| !names.contains(&&**name)) else { return Ok(()) };
        let expected = if names.is_empty() { "none".to_owned() } else { format!("one of {}", names.join(", ")) };
        Err(ParameterError::Unknown(unknown.clone().into_owned(), expected))
    }

    fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| &**value)
    }

    fn one(&self, name: &'static str) -> Result<Option<&str>, ParameterError> {
        let mut all = self.all(name);
        let first = all.next();
        if all.next().is_some() {
            return Err(ParameterError::Repeated(name));
        }
        Ok(first)
    }
}

fn state(text: &str) -> Result<State, ParameterError> {
    State::of_name(text).ok_or_else(|| invalid("state", text, "down, unknown or up"))
}

fn label(text: &str) -> Result<(String, String), ParameterError> {
    let label = text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    label.ok_or_else(|| invalid("label", text, "NAME=VALUE"))
}

fn sort(text: &str) -> Result<Sort, ParameterError> {
    let (name, is_descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
    let by = SortKey::ALL.into_iter().find(|key| key.as_str() == name);
    let names = || format!("one of {}, descending with `-` before it", SortKey::ALL.map(SortKey::as_str).join(", "));
    by.map(|by| Sort { by, is_descending })
        .ok_or_else(|| invalid("sort", text, names()))
}

fn invalid(name: &'static str, value: &str, expected: impl Into<String>) -> ParameterError {
    ParameterError::Value(name, value.to_owned(), expected.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_is_read() {
        let query =
            "state=down&state=unknown&label=team%3Dorders&group=g&protocol=tls&text=db&sort=-since&limit=5&offset=10";
        let expected = TargetQuery {
            states: vec![State::Down, State::Unknown],
            labels: vec![("team".into(), "orders".into())],
            group: Some("g".into()),
            protocol: Some("tls".into()),
            text: Some("db".into()),
            sort: Sort { by: SortKey::Since, is_descending: true },
            page: Page { limit: 5, offset: 10 },
        };
        assert_eq!(Parameters::of(query).targets(), Ok(expected));
        assert_eq!(Parameters::of("state=&text=").targets(), Ok(TargetQuery::default()));
        let expected = IncidentQuery { target: Some("a b".into()), is_open: Some(false), page: Page::default() };
        assert_eq!(Parameters::of("target=a+b&open=false").incidents(), Ok(expected));
    }

    #[test]
    fn an_invalid_parameter_is_explained() {
        for (query, message) in [
            (
                "stat=down",
                "unknown parameter `stat`; must be one of state, label, group, protocol, text, sort, limit, offset",
            ),
            ("state=gone", "state: `gone` is not valid; must be down, unknown or up"),
            ("label=team", "label: `team` is not valid; must be NAME=VALUE"),
            (
                "sort=age",
                "sort: `age` is not valid; must be one of duration, expiry, name, since, state, descending with `-` before it",
            ),
            ("limit=0", "limit: `0` is not valid; must be a number from 1 to 10000"),
            ("limit=1e3", "limit: `1e3` is not valid; must be a number from 1 to 10000"),
            ("offset=-1", "offset: `-1` is not valid; must be a number"),
            ("group=a&group=b", "group: is given twice; remove one"),
        ] {
            assert_eq!(Parameters::of(query).targets().unwrap_err().to_string(), message);
        }
        let error = Parameters::of("open=maybe").incidents().unwrap_err();
        assert_eq!(error.to_string(), "open: `maybe` is not valid; must be true or false");
        let error = Parameters::of("x=1").none().unwrap_err();
        assert_eq!(error.to_string(), "unknown parameter `x`; must be none");
    }
}
