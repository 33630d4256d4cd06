//! Modules with the prober `tcp`.

use super::document::{Block, List};
use super::expression::{Haystack, expression, label_template, template};
use super::module::{Common, Kind, Prober, UNKNOWN, add_tls, omit};
use super::recipe;
use super::tls::{Tls, TlsUse};
use crate::config::{ForeignValue, LoadError};
use crate::target::Pattern;

/// A step of `query_response`.
#[derive(Clone, Debug, Default)]
pub(super) struct GoStep {
    pub(super) expect: Option<String>,
    pub(super) expect_bytes: Option<Vec<u8>>,
    pub(super) send: Vec<u8>,
    pub(super) starttls: bool,
    pub(super) labels: Vec<(String, String)>,
    /// A setting that no version of blackbox_exporter had when this was written.
    pub(super) unknown: Option<String>,
}

pub(super) fn read(prober: &ForeignValue<'_>) -> Result<Prober, LoadError> {
    let mut settings = Block::default();
    let mut common = Common::default();
    let mut steps = Vec::new();
    let mut tls = Tls::default();
    let mut has_tls = false;
    for (key, value) in prober.entries()? {
        match key {
            "tls" => has_tls = value.truth()?,
            "tls_config" => tls = Tls::read(&value)?,
            "query_response" => steps = read_steps(&value)?,
            key => {
                if !common.read(key, &value, &mut settings)? {
                    omit(&mut settings, key, &value, UNKNOWN);
                }
            }
        }
    }
    common.finish(&mut settings);
    let uses_tls = has_tls || steps.iter().any(|step| step.starttls);
    let usage = if uses_tls { tls.usage() } else { TlsUse::default() };
    add_tls(&mut settings, tls);
    let recipe = recipe::scheme(&steps, has_tls);
    if let Some(scheme) = &recipe {
        settings.comment(format!("query_response: {scheme} makes this exchange"));
        if steps.iter().any(|step| !step.labels.is_empty()) {
            settings.omit("labels of query_response", "portprobe_service_info has the version of the service");
        }
    } else {
        add_dialogue(&mut settings, &steps, has_tls);
    }
    let scheme = recipe.unwrap_or_else(|| if has_tls { "tls" } else { "tcp" }.to_owned());
    Ok(Prober { settings, kind: Kind::Tcp(scheme), tls: usage })
}

fn read_steps(value: &ForeignValue<'_>) -> Result<Vec<GoStep>, LoadError> {
    value.items()?.iter().map(GoStep::read).collect()
}

impl GoStep {
    fn read(value: &ForeignValue<'_>) -> Result<Self, LoadError> {
        let mut step = Self::default();
        for (key, value) in value.entries()? {
            match key {
                "expect" => step.expect = Some(value.text()?),
                "expect_bytes" => step.expect_bytes = Some(value.bytes()?).filter(|bytes| !bytes.is_empty()),
                "send" => step.send = value.bytes()?,
                "starttls" => step.starttls = value.truth()?,
                "labels" => step.labels = read_labels(&value)?,
                other => step.unknown = Some(other.to_owned()),
            }
        }
        Ok(step)
    }
}

fn read_labels(value: &ForeignValue<'_>) -> Result<Vec<(String, String)>, LoadError> {
    let labels = value.items()?;
    labels
        .iter()
        .map(|label| Ok((label.child("name").text()?, label.child("value").text()?)))
        .collect()
}

/// Adds the steps as a dialogue, up to the first one that cannot be converted. The rest would not fit what the service
/// sends, so it is left out.
fn add_dialogue(settings: &mut Block, steps: &[GoStep], has_tls: bool) {
    let mut dialogue = Dialogue { list: List::default(), has_tls };
    for (index, step) in steps.iter().enumerate() {
        if let Err(reason) = dialogue.add(step) {
            let from = format!("query_response from step {} on", index + 1);
            dialogue.list.omit(&from, &reason);
            break;
        }
    }
    if dialogue.list.has_items() {
        settings.list("dialogue", dialogue.list);
    } else {
        settings.append(dialogue.list.into_comments());
    }
}

struct Dialogue {
    list: List,
    has_tls: bool,
}

impl Dialogue {
    /// Adds a step of `query_response`, which expects first, then sends, then starts TLS.
    fn add(&mut self, step: &GoStep) -> Result<(), String> {
        if let Some(unknown) = &step.unknown {
            return Err(format!("unknown setting {unknown}"));
        }
        let mut groups = None;
        if let Some(go) = &step.expect {
            let converted = expression(if go.is_empty() { "^" } else { go }, Haystack::Line)?;
            let names = Pattern::try_new(&converted).map_err(|error| error.to_string())?.group_names();
            let mut expect = Block::default();
            expect.text("expect", &converted);
            expect.block("labels", labels(&step.labels, &names));
            self.list.push(expect);
            groups = Some(names);
        }
        if let Some(bytes) = &step.expect_bytes {
            // The bytes have no references, so a dollar is single.
            self.push("expect_bytes", &template(bytes, None).replace("$$", "$"));
        }
        let mut send = template(&step.send, groups.as_deref());
        if !send.is_empty() {
            send.push_str("\\n");
            self.push("send", &send);
        }
        if step.starttls {
            if self.has_tls {
                return Err("TLS is started twice".to_owned());
            }
            self.has_tls = true;
            let mut starttls = Block::default();
            starttls.yaml("starttls", "true");
            self.list.push(starttls);
        }
        Ok(())
    }

    fn push(&mut self, key: &str, value: &str) {
        let mut block = Block::default();
        // Always quoted, because that is how users know these texts.
        block.yaml(key, format!("'{}'", value.replace('\'', "''")));
        self.list.push(block);
    }
}

fn labels(labels: &[(String, String)], groups: &[Option<Box<str>>]) -> Block {
    let mut block = Block::default();
    for (name, value) in labels {
        block.text(name, &label_template(value, Some(groups)));
    }
    block
}
