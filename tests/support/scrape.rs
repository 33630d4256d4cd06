//! The text format of Prometheus, parsed strictly enough to find a series by its labels.

use std::collections::BTreeMap;

/// All series of one scrape.
#[derive(Clone, Debug)]
pub(crate) struct Scrape(Vec<Series>);

#[derive(Clone, Debug)]
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Scrape {
    /// Parses the format; an invalid line fails the test.
    pub(crate) fn parse(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).map(series).collect())
    }

    /// The value of the only series with this name and at least these labels.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let matches = |series: &&Series| {
            series.name == name
                && labels
                    .iter()
                    .all(|(name, value)| series.labels.get(*name).is_some_and(|found| found == value))
        };
        let found: Vec<_> = self.0.iter().filter(matches).collect();
        assert!(found.len() <= 1, "several series match {name} {labels:?}: {found:?}");
        found.first().map(|series| series.value)
    }

    /// Every series: its name, labels and value.
    pub(crate) fn into_samples(self) -> impl Iterator<Item = (String, BTreeMap<String, String>, f64)> {
        self.0.into_iter().map(|Series { name, labels, value }| (name, labels, value))
    }

    /// The sum of all series with this name.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.0
            .iter()
            .filter(|series| series.name == name)
            .map(|series| series.value)
            .sum()
    }

    /// Every series of a target, by its name and labels.
    pub(crate) fn of_targets(&self) -> BTreeMap<(&str, &BTreeMap<String, String>), f64> {
        let told = self.0.iter().filter(|series| series.labels.contains_key("target"));
        told.map(|series| ((series.name.as_str(), &series.labels), series.value))
            .collect()
    }

    /// As [`Self::value`], for a target.
    pub(crate) fn of(&self, target: &str, name: &str) -> Option<f64> {
        self.value(name, &[("target", target)])
    }
}

fn series(line: &str) -> Series {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no series: {line}"));
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (name, after) = rest.split_once("=\"").unwrap();
            let (value, after) = quoted(after);
            assert!(labels.insert(name.to_owned(), value).is_none(), "label {name} stands twice: {line}");
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value = rest.trim_start().parse().unwrap_or_else(|_| panic!("no value: {line}"));
    Series { name: name.to_owned(), labels, value }
}

/// A value up to its closing quote, and the rest.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    loop {
        match characters.next().unwrap() {
            (end, '"') => return (value, &text[end + 1..]),
            (_, '\\') => value.push(match characters.next().unwrap().1 {
                'n' => '\n',
                other => other,
            }),
            (_, other) => value.push(other),
        }
    }
}
