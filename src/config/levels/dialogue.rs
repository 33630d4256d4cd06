//! Steps as they are written become a [`Dialogue`]; the step that starts TLS divides it in two.

use std::collections::{BTreeSet, HashMap};
use std::mem;

use crate::config::keys::read::{text, unknown_keys, value};
use crate::config::keys::value::{Given, List, Text};
use crate::config::keys::{RawLabels, RawStep};
use crate::config::levels::template::{self, Groups};
use crate::config::problems::Problems;
use crate::config::problems::path::{At, KeyPath};
use crate::target::{Dialogue, Expectation, LabelName, Labels, Part, Pattern, Step, Template};

/// A dialogue as one level has it.
#[derive(Debug, PartialEq)]
pub(in crate::config) struct Script {
    /// Where it stands.
    pub(in crate::config) at: KeyPath,
    /// Where its step that starts TLS stands.
    pub(in crate::config) starttls: Option<KeyPath>,
    /// The steps before that one, or nothing.
    pub(in crate::config) upgrade: Dialogue,
    /// The steps behind it, or all.
    pub(in crate::config) dialogue: Dialogue,
    /// Whether there is any step, good or wrong.
    pub(in crate::config) is_empty: bool,
    labels: Vec<(LabelName, KeyPath)>,
}

impl Script {
    /// Takes the steps as written. A wrong one is noted and left out.
    pub(in crate::config) fn read(given: Given<List<RawStep>>, at: At<'_>, problems: &mut Problems) -> Option<Self> {
        let List(steps) = value(given, at, problems)?;
        if steps.len() > Dialogue::MAX_STEPS {
            problems.add(at, format!("has {} steps; at most {}", steps.len(), Dialogue::MAX_STEPS));
        }
        let mut writer = Writer { is_empty: steps.is_empty(), ..Writer::default() };
        for (index, step) in steps.into_iter().enumerate() {
            writer.take(step, at.item(index), problems);
        }
        let Writer { starttls, before, steps, labels, is_empty, groups: _ } = writer;
        let labels = labels.into_iter().collect();
        Some(Self {
            at: at.into(),
            starttls,
            upgrade: Dialogue(before.into()),
            dialogue: Dialogue(steps.into()),
            is_empty,
            labels,
        })
    }

    /// Notes labels that a target has already.
    pub(in crate::config) fn check_labels(&self, taken: &Labels, problems: &mut Problems) {
        if self.labels.is_empty() {
            return;
        }
        let taken: BTreeSet<_> = taken.iter().map(|(name, _)| name).collect();
        for (name, at) in self.labels.iter().filter(|(name, _)| taken.contains(name.as_str())) {
            let message = format!("`{}` is a label of the target already; choose another name", name.as_str());
            problems.add_key(at.clone(), 0, message);
        }
    }
}

/// A dialogue in the making.
struct Writer {
    is_empty: bool,
    starttls: Option<KeyPath>,
    /// The steps before the one that starts TLS.
    before: Vec<Step>,
    steps: Vec<Step>,
    /// What the last match offers.
    groups: Groups,
    labels: HashMap<LabelName, KeyPath>,
}

impl Default for Writer {
    fn default() -> Self {
        Self {
            is_empty: true,
            starttls: None,
            before: Vec::new(),
            steps: Vec::new(),
            groups: Groups::None,
            labels: HashMap::new(),
        }
    }
}

impl Writer {
    fn take(&mut self, given: Given<RawStep>, at: At<'_>, problems: &mut Problems) {
        let Some(raw) = value(given, at, problems) else { return };
        unknown_keys(&raw.unknown, at, RawStep::keys, problems);
        let verbs = verbs(&raw);
        if verbs.contains(&"expect") {
            self.groups = Groups::Unknown;
        } else if !raw.labels.is_nothing() {
            problems.add_key(
                at.key("labels"),
                0,
                "stands without `expect`, of whose match labels are made; move it there",
            );
        }
        match verbs[..] {
            ["send"] => self.send(raw.send, at.key("send"), problems),
            ["expect"] => self.expect(raw.expect, raw.labels, at, problems),
            ["expect_bytes"] => self.expect_bytes(raw.expect_bytes, at.key("expect_bytes"), problems),
            ["starttls"] => self.starttls(raw.starttls, at, problems),
            [] if raw.unknown.is_empty() => problems.add(at, format!("has nothing to do; a step is {VERBS}")),
            [] => {}
            [..] => {
                let message = format!("has {}, but a step is {VERBS}; split it", verbs.join(" and "));
                problems.add(at, message);
            }
        }
    }

    fn send(&mut self, given: Given<Text>, at: At<'_>, problems: &mut Problems) {
        let Some(text) = text(given, at, problems) else { return };
        match template::template(&text, &self.groups) {
            Ok(Template(parts)) if parts.is_empty() => {
                problems.add(at, "is empty; write what is to be sent, or remove the step");
            }
            Ok(template) if literal_bytes(&template) > MAX_BYTES => {
                problems.add(at, too_long(literal_bytes(&template)));
            }
            Ok(template) => self.steps.push(Step::Send(template)),
            Err(error) => problems.add(at, error.to_string()),
        }
    }

    fn expect_bytes(&mut self, given: Given<Text>, at: At<'_>, problems: &mut Problems) {
        let Some(text) = text(given, at, problems) else { return };
        match template::bytes(&text) {
            Ok(bytes) if bytes.is_empty() => problems.add(at, "is empty; write what is to come, or remove the step"),
            Ok(bytes) if bytes.len() > MAX_BYTES => problems.add(at, too_long(bytes.len())),
            Ok(bytes) => self.steps.push(Step::ExpectBytes(bytes)),
            Err(error) => problems.add(at, error.to_string()),
        }
    }

    fn expect(&mut self, given: Given<Text>, labels: Given<RawLabels>, at: At<'_>, problems: &mut Problems) {
        let pattern = text(given, at.key("expect"), problems).and_then(|expression| {
            let compiled = Pattern::try_new(&expression);
            compiled.map_err(|error| problems.add(at.key("expect"), template::cause(&error))).ok()
        });
        self.groups = pattern.as_ref().map_or(Groups::Unknown, Groups::of);
        let labels = self.labels(labels, at.key("labels"), problems);
        self.steps.extend(pattern.map(|pattern| Step::Expect(Expectation { pattern, labels })));
    }

    fn labels(&mut self, given: Given<RawLabels>, at: At<'_>, problems: &mut Problems) -> Vec<(LabelName, Template)> {
        let Some(RawLabels(named)) = value(given, at, problems) else { return Vec::new() };
        let mut labels: Vec<(LabelName, Template)> = Vec::new();
        for (name, given) in named.0 {
            let at = at.key(&name);
            let label = match LabelName::try_new(&name) {
                // The same key twice in one mapping is noted elsewhere.
                Ok(label) if labels.iter().any(|(known, _)| *known == label) => continue,
                Ok(label) => label,
                Err(error) => {
                    problems.add_key(at, 0, error.to_string());
                    continue;
                }
            };
            if let Some(first) = self.labels.insert(label.clone(), at.into()) {
                problems.add_key(at, 0, format!("is a label of another step already, as {first}; give it once"));
            }
            let text = text(given, at, problems).unwrap_or_default();
            match template::label(&text, &self.groups) {
                Ok(template) => labels.push((label, template)),
                Err(error) => problems.add(at, error.to_string()),
            }
        }
        labels
    }

    fn starttls(&mut self, given: Given<bool>, at: At<'_>, problems: &mut Problems) {
        let wanted = value(given, at.key("starttls"), problems);
        if wanted == Some(false) {
            problems.add(at.key("starttls"), "is false, which is no step; remove it");
        }
        if let Some(first) = &self.starttls {
            let message = format!("asks for TLS a second time, after {first}; remove one of the two");
            return problems.add(at.key("starttls"), message);
        }
        self.starttls = Some(at.key("starttls").into());
        self.before = mem::take(&mut self.steps);
    }
}

/// What a step is to do; one thing, where it is right.
fn verbs(step: &RawStep) -> Vec<&'static str> {
    let verbs = [
        ("send", step.send.is_nothing()),
        ("expect", step.expect.is_nothing()),
        ("expect_bytes", step.expect_bytes.is_nothing()),
        ("starttls", step.starttls.is_nothing()),
    ];
    verbs.into_iter().filter(|(_, nothing)| !nothing).map(|(verb, _)| verb).collect()
}

/// How many bytes a template has without what it takes from matches.
fn literal_bytes(Template(parts): &Template) -> usize {
    let lengths = parts.iter().map(|part| match part {
        Part::Bytes(bytes) => bytes.len(),
        Part::Group(_) => 0,
    });
    lengths.sum()
}

fn too_long(bytes: usize) -> String {
    format!("has {bytes} bytes; at most {MAX_BYTES}")
}

const VERBS: &str = "one of send, expect, expect_bytes and starttls";
const MAX_BYTES: usize = 64 << 10;
