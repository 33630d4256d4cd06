//! The steps of a dialogue become a [`Dialogue`]; the step that starts TLS divides it in two.

use std::collections::{BTreeSet, HashMap};
use std::mem;

use crate::config::keys::Step as StepKeys;
use crate::config::keys::read::{Field, Items};
use crate::config::keys::value::LabelValues;
use crate::config::levels::template::{self, CaptureGroups};
use crate::config::problems::path::KeyPath;
use crate::config::problems::{At, Problems};
use crate::target::{Dialogue, Expectation, LabelName, Labels, Part, Step, Template};

/// The dialogue of one level.
#[derive(Debug, PartialEq)]
pub(in crate::config) struct Script {
    /// The path of the dialogue.
    pub(in crate::config) at: KeyPath,
    /// The path of the step that starts TLS.
    pub(in crate::config) starttls: Option<KeyPath>,
    /// The steps before that one; empty without it.
    pub(in crate::config) upgrade: Dialogue,
    /// The steps after it; without it, all steps.
    pub(in crate::config) dialogue: Dialogue,
    /// Whether there are no steps, not even invalid ones.
    pub(in crate::config) is_empty: bool,
    labels: Vec<(LabelName, KeyPath)>,
}

impl Script {
    /// Reads the steps. An invalid step is reported and skipped.
    pub(in crate::config) fn read(Items(steps): Items<StepKeys>, at: At<'_>) -> Self {
        if steps.len() > Dialogue::MAX_STEPS {
            at.refuse(format_args!("has {} steps; must have at most {}", steps.len(), Dialogue::MAX_STEPS));
        }
        let is_empty = steps.is_empty();
        let mut writer = ScriptWriter::default();
        for (index, step) in steps.into_iter().enumerate() {
            let (at, before) = (at.item(index), at.problems().count());
            if let Some(step) = step.read_item(at) {
                writer.add(step, at, at.problems().count() == before);
            }
        }
        let ScriptWriter { starttls, before, steps, labels, groups: _ } = writer;
        Self {
            at: at.path(),
            starttls,
            upgrade: Dialogue(before.into()),
            dialogue: Dialogue(steps.into()),
            is_empty,
            labels: labels.into_iter().collect(),
        }
    }

    /// Reports labels that the target has too.
    pub(in crate::config) fn check_labels(&self, taken: &Labels, problems: &Problems) {
        if self.labels.is_empty() {
            return;
        }
        let taken: BTreeSet<_> = taken.iter().map(|(name, _)| name).collect();
        for (name, path) in self.labels.iter().filter(|(name, _)| taken.contains(name.as_str())) {
            let message = format!("conflicts with the label `{}` of the target; choose another name", name.as_str());
            problems.refuse_key(path.clone(), message);
        }
    }
}

/// The steps so far.
#[derive(Default)]
struct ScriptWriter {
    starttls: Option<KeyPath>,
    /// The steps before the one that starts TLS.
    before: Vec<Step>,
    steps: Vec<Step>,
    /// The groups of the last match.
    groups: CaptureGroups,
    labels: HashMap<LabelName, KeyPath>,
}

impl ScriptWriter {
    /// Adds a step; `is_valid` if reading it found no problems.
    fn add(&mut self, step: StepKeys, at: At<'_>, is_valid: bool) {
        let actions = actions(&step);
        if actions.contains(&"expect") {
            self.groups = CaptureGroups::Unknown;
        } else if !step.labels.is_absent() {
            at.key("labels").refuse_key("requires `expect` in the same step; move it there");
        }
        match actions[..] {
            ["send"] => self.send(&step, at.key("send")),
            ["expect"] => self.expect(step, at),
            ["expect_bytes"] => self.expect_bytes(&step, at.key("expect_bytes")),
            ["starttls"] => self.starttls(&step, at.key("starttls")),
            [] if is_valid => at.refuse(format_args!("has no action; must have {ACTIONS}")),
            [] => {}
            [..] => {
                at.refuse(format_args!("has `{}`; must have {ACTIONS}; split the step", actions.join("` and `")));
            }
        }
    }

    fn send(&mut self, step: &StepKeys, at: At<'_>) {
        let Some(text) = step.send.get() else { return };
        match template::template(text, &self.groups) {
            Ok(Template(parts)) if parts.is_empty() => {
                at.refuse("is empty; write the bytes to send, or remove the step");
            }
            Ok(template) if literal_bytes(&template) > MAX_BYTES => at.refuse(too_long(literal_bytes(&template))),
            Ok(template) => self.steps.push(Step::Send(template)),
            Err(error) => at.refuse(error),
        }
    }

    fn expect_bytes(&mut self, step: &StepKeys, at: At<'_>) {
        let Some(text) = step.expect_bytes.get() else { return };
        match template::bytes(text) {
            Ok(bytes) if bytes.is_empty() => at.refuse("is empty; write the expected bytes, or remove the step"),
            Ok(bytes) if bytes.len() > MAX_BYTES => at.refuse(too_long(bytes.len())),
            Ok(bytes) => self.steps.push(Step::ExpectBytes(bytes)),
            Err(error) => at.refuse(error),
        }
    }

    fn expect(&mut self, step: StepKeys, at: At<'_>) {
        let pattern = step.expect.into_value();
        self.groups = pattern.as_ref().map_or(CaptureGroups::Unknown, CaptureGroups::of);
        let labels = self.labels(step.labels, at.key("labels"));
        self.steps
            .extend(pattern.map(|pattern| Step::Expect(Expectation { pattern, labels })));
    }

    fn labels(&mut self, labels: Field<LabelValues>, at: At<'_>) -> Vec<(LabelName, Template)> {
        let Some(LabelValues(labels)) = labels.into_value() else { return Vec::new() };
        let mut templates = Vec::new();
        for (label, value) in labels {
            let at = at.key(label.as_str());
            if let Some(first) = self.labels.insert(label.clone(), at.path()) {
                at.refuse_key(format_args!("duplicate label, also set by {first}; remove one"));
            }
            match template::label(&value.into_value().unwrap_or_default(), &self.groups) {
                Ok(template) => templates.push((label.clone(), template)),
                Err(error) => at.refuse(error),
            }
        }
        templates
    }

    fn starttls(&mut self, step: &StepKeys, at: At<'_>) {
        if step.starttls.get() == Some(&false) {
            at.refuse("is false; must be true; remove the step to continue without TLS");
        }
        if let Some(first) = &self.starttls {
            at.refuse(format_args!("duplicate step, also at {first}; remove one"));
            return;
        }
        self.starttls = Some(at.path());
        self.before = mem::take(&mut self.steps);
    }
}

/// The actions of a step; a valid step has one.
fn actions(step: &StepKeys) -> Vec<&'static str> {
    let actions = [
        ("send", step.send.is_absent()),
        ("expect", step.expect.is_absent()),
        ("expect_bytes", step.expect_bytes.is_absent()),
        ("starttls", step.starttls.is_absent()),
    ];
    actions
        .into_iter()
        .filter(|(_, is_absent)| !is_absent)
        .map(|(action, _)| action)
        .collect()
}

/// The size of a template without what groups add.
fn literal_bytes(Template(parts): &Template) -> usize {
    let lengths = parts.iter().map(|part| match part {
        Part::Bytes(bytes) => bytes.len(),
        Part::Group(_) => 0,
    });
    lengths.sum()
}

fn too_long(bytes: usize) -> String {
    format!("has {bytes} bytes; must have at most {MAX_BYTES}")
}

const ACTIONS: &str = "one of `send`, `expect`, `expect_bytes`, `starttls`";
const MAX_BYTES: usize = 64 << 10;
