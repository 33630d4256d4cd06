//! Metrics of services and dialogues.
//!
//! [`label_value`] cuts and cleans every text from a peer. Greetings are not label values.

use super::family::{Family, TargetFamily};
use super::sample::{OwnLabel, Value};
use crate::board::Row;
use crate::peer_text::label_value;
use crate::target::{LabelName, Target};

pub(super) const SERVICE_INFO: TargetFamily = TargetFamily {
    family: Family::gauge("portprobe_service_info", "Protocol, version and role of the service, as last reported")
        .by(&["protocol", "version", "role"]),
    read: |row, reader| {
        if let Some(service) = row.service() {
            let labels = vec![
                OwnLabel::fixed("protocol", service.protocol),
                OwnLabel::new("version", label_value(&service.version)),
                OwnLabel::new("role", label_value(&service.role)),
            ];
            reader.labelled(labels, Value::Count(1));
        }
    },
};

pub(super) const DIALOGUE_INFO: TargetFamily = TargetFamily {
    family: Family::gauge("portprobe_dialogue_info", "Labels that the steps of the dialogue last captured"),
    read: |row, reader| {
        if !row.dialogue().is_empty() {
            reader.labelled(dialogue_labels(row, reader.target), Value::Count(1));
        }
    },
};

/// Returns the labels of a dialogue, without those that the target has and without duplicates, because a duplicate
/// label on a series fails the whole scrape.
fn dialogue_labels(row: &Row, target: &Target) -> Vec<OwnLabel> {
    let captured = row.dialogue();
    let is_new = |index: usize, name: &LabelName| {
        let mut configured = target.labels.iter();
        let mut before = captured.iter().take(index);
        configured.all(|(taken, _)| taken != name.as_str()) && before.all(|(taken, _)| taken != name)
    };
    let kept = captured.iter().enumerate().filter(|(index, (name, _))| is_new(*index, name));
    kept.map(|(_, (name, text))| OwnLabel::chosen(name, label_value(text)))
        .collect()
}
