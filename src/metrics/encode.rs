//! Encodes samples in the format of a scrape.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    CounterValueEncoder, DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabel, EncodeLabelSet,
    GaugeValueEncoder, LabelSetEncoder, MetricEncoder, NativeHistogram, NativeHistogramBuckets, NoLabelSet,
};
use prometheus_client::metrics::MetricType;

use super::Format;
use super::family::{Family, Kind};
use super::sample::{Owner, Sample, Value};
use crate::histogram::{Buckets, Histogram, NativeBuckets};

/// Samples of one family to encode in one format.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) family: &'static Family,
    pub(super) format: Format,
    pub(super) samples: Vec<Sample>,
}

impl Collector for Batch {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Family { name, kind, help, .. } = *self.family;
        let (name, kind) = match (kind, self.format) {
            // Text 0.0.4 declares a counter with `_total`. In the other formats the encoder appends it to the declared
            // name.
            (Kind::Counter, Format::Text) => (name, MetricType::Counter),
            (Kind::Counter, Format::OpenMetrics | Format::Protobuf) => {
                (name.strip_suffix("_total").unwrap_or(name), MetricType::Counter)
            }
            (Kind::Gauge, _) => (name, MetricType::Gauge),
            (Kind::Histogram, _) => (name, MetricType::Histogram),
        };
        let mut series = encoder.encode_descriptor(name, help, None, kind)?;
        self.samples
            .iter()
            .try_for_each(|sample| self.encode_sample(sample, series.encode_family(sample)?))
    }
}

impl Batch {
    fn encode_sample(&self, sample: &Sample, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        match (&sample.value, self.family.kind, self.format) {
            (Value::Histogram(histogram, buckets), ..) => encode_histogram(histogram, buckets, &mut encoder),
            (value, Kind::Counter, Format::OpenMetrics | Format::Protobuf) => {
                encoder.encode_counter::<NoLabelSet, _, f64>(value, None)
            }
            // As a counter, the encoder would append a second `_total`.
            (value, Kind::Counter | Kind::Gauge | Kind::Histogram, _) => encoder.encode_gauge(value),
        }
    }
}

impl EncodeLabelSet for Sample {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let (owner, configured) = match &self.owner {
            Owner::Daemon(labels) => (None, &**labels),
            Owner::Group(group) => (Some(("group", group.name.as_str())), &group.labels),
            Owner::Target(target) => (Some(("target", target.name.as_str())), &*target.labels),
        };
        let own = self
            .own
            .iter()
            .filter(|own| !own.value.is_empty())
            .map(|own| (&*own.name, &*own.value));
        for label in owner.into_iter().chain(configured.iter()).chain(own) {
            label.encode(encoder.encode_label())?;
        }
        Ok(())
    }
}

impl EncodeGaugeValue for Value {
    fn encode(&self, encoder: &mut GaugeValueEncoder<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => EncodeGaugeValue::encode(count, encoder),
            Self::Histogram(..) => Err(fmt::Error),
            Self::Real(real) => EncodeGaugeValue::encode(real, encoder),
        }
    }
}

impl EncodeCounterValue for Value {
    fn encode(&self, encoder: &mut CounterValueEncoder<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => EncodeCounterValue::encode(count, encoder),
            Self::Histogram(..) => Err(fmt::Error),
            Self::Real(real) => EncodeCounterValue::encode(real, encoder),
        }
    }
}

/// Encodes classic buckets, and native ones if the histogram has them. Text formats omit native buckets.
fn encode_histogram(histogram: &Histogram, buckets: &Buckets, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
    let bounds = buckets.bounds().iter().copied().chain([f64::INFINITY]);
    let classic: Vec<_> = bounds.zip(histogram.classic()).collect();
    let (sum, count) = (histogram.sum(), histogram.count());
    let Some(native) = histogram.native() else {
        return encoder.encode_histogram::<NoLabelSet>(sum, count, &classic, None);
    };
    let (spans, deltas) = spans_and_deltas(native);
    let native = NativeHistogram {
        schema: native.schema(),
        zero_threshold: ZERO_THRESHOLD,
        zero_count: native.zeros(),
        negative: NativeHistogramBuckets { spans: &[], deltas: &[] },
        positive: NativeHistogramBuckets { spans: &spans, deltas: &deltas },
        created: None,
    };
    encoder.encode_histogram_with_native::<NoLabelSet>(sum, count, &classic, None, native)
}

/// Encodes native buckets as spans and deltas. A span is a run of adjacent buckets: its distance from the end of the
/// previous span (that of the first one from bucket 0) and its length. A delta is the difference from the previous
/// count.
fn spans_and_deltas(native: &NativeBuckets) -> (Vec<(i32, u32)>, Vec<i64>) {
    let mut spans: Vec<(i32, u32)> = Vec::new();
    let mut deltas = Vec::with_capacity(native.counts().len());
    let (mut next_index, mut last_count) = (0, 0);
    for (index, count) in native.counts() {
        match spans.last_mut() {
            Some((_, length)) if index == next_index => *length += 1,
            _ => spans.push((index - next_index, 1)),
        }
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        deltas.push(count - last_count);
        (next_index, last_count) = (index + 1, count);
    }
    (spans, deltas)
}

/// The width of the zero bucket, 2^-128 as in client libraries. It is not zero because Prometheus would otherwise not
/// recognise a histogram without observations as native.
const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn native_buckets_become_spans_and_deltas() {
        let buckets = Buckets::default();
        let mut histogram = Histogram::classic_and_native(&buckets);
        for (milliseconds, times) in [(500, 3), (520, 5), (1000, 1), (4000, 2)] {
            (0..times).for_each(|_| histogram.observe(&buckets, Duration::from_millis(milliseconds)));
        }
        // Buckets -8 (0.5 s), -7 (0.52 s), 0 (1 s), 16 (4 s).
        let (spans, deltas) = spans_and_deltas(histogram.native().unwrap());
        assert_eq!(spans, [(-8, 2), (6, 1), (15, 1)]);
        assert_eq!(deltas, [3, 2, -4, 1]);
    }
}
