//! Histograms as plain values: classic and sparse native buckets of the same observations.
//!
//! The module `metrics` encodes them. Native buckets follow the standard exponential schemas of Prometheus' native
//! histograms: bucket `i` of schema `s` holds the values in `(b^(i-1), b^i]` with `b = 2^(2^-s)`.

use std::sync::Arc;
use std::time::Duration;

/// The upper bounds of classic buckets in seconds. They are finite, positive and strictly increasing; `+Inf` is
/// implied.
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets(Arc<[f64]>);

impl Buckets {
    /// Creates buckets with these upper bounds in seconds.
    pub fn try_new(bounds: Vec<f64>) -> Result<Self, BucketsError> {
        if bounds.is_empty() {
            return Err(BucketsError::Empty);
        }
        if let Some(bound) = bounds.iter().find(|bound| !(bound.is_finite() && **bound > 0.0)) {
            return Err(BucketsError::NotPositive(*bound));
        }
        if bounds.len() > Self::MAX {
            return Err(BucketsError::TooMany(bounds.len()));
        }
        if let Some(pair) = bounds.array_windows().find(|[low, high]| low >= high) {
            return Err(BucketsError::NotIncreasing(pair[0], pair[1]));
        }
        Ok(Self(bounds.into()))
    }

    /// Creates buckets with constant bounds.
    ///
    /// # Panics
    ///
    /// If [`Self::try_new`] rejects the bounds.
    pub fn of<const N: usize>(bounds: [f64; N]) -> Self {
        Self::try_new(bounds.to_vec()).expect("constant bounds must be valid")
    }

    /// Returns the finite upper bounds, in seconds.
    pub fn bounds(&self) -> &[f64] {
        &self.0
    }

    /// Maximum number of bounds. Each adds a series per target and phase.
    pub const MAX: usize = 64;
}

impl Default for Buckets {
    /// From the same rack (below 1 ms) and other continents (below 500 ms) to lost SYNs (1 s and more).
    fn default() -> Self {
        Self(Arc::new([0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0]))
    }
}

/// A reason why bounds are invalid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BucketsError {
    /// There is no bound.
    #[error("is empty; must have at least one upper bound in seconds")]
    Empty,
    /// A bound is zero, negative, infinite or not a number.
    #[error("bound {0} is out of range; must be seconds above 0; `+Inf` is implied")]
    NotPositive(f64),
    /// A bound is not greater than its predecessor.
    #[error("bound {1} follows {0}; must be in ascending order")]
    NotIncreasing(f64, f64),
    /// There are more than [`Buckets::MAX`] bounds.
    #[error("has {0} bounds; must have at most 64")]
    TooMany(usize),
}

/// A histogram of durations.
///
/// It does not hold its bounds: the caller passes the same [`Buckets`] each time, which saves memory with 100,000
/// histograms.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Counts, not cumulative; the last is that of `+Inf`.
    classic: Box<[u32]>,
    sum: f64,
    native: Option<NativeBuckets>,
}

impl Histogram {
    /// Creates an empty histogram with classic buckets only.
    pub fn classic_only(buckets: &Buckets) -> Self {
        Self { classic: vec![0; buckets.bounds().len() + 1].into(), sum: 0.0, native: None }
    }

    /// Creates an empty histogram with classic and native buckets.
    pub fn classic_and_native(buckets: &Buckets) -> Self {
        Self { native: Some(NativeBuckets::default()), ..Self::classic_only(buckets) }
    }

    /// Adds one observation. `buckets` must be those passed to the constructor.
    ///
    /// After 2^32 - 1 observations the histogram is reset before a bucket can overflow. Prometheus handles that as a
    /// counter reset, but rejects a histogram whose buckets do not add up to its count.
    pub fn observe(&mut self, buckets: &Buckets, duration: Duration) {
        if self.count() >= u32::MAX.into() {
            let empty = if self.native.is_some() { Self::classic_and_native } else { Self::classic_only };
            *self = empty(buckets);
        }
        let seconds = duration.as_secs_f64();
        let index = buckets.bounds().partition_point(|bound| *bound < seconds);
        if let Some(count) = self.classic.get_mut(index) {
            *count += 1;
        }
        self.sum += seconds;
        if let Some(native) = &mut self.native {
            native.observe(seconds);
        }
    }

    /// Returns the number of observations in each classic bucket, `+Inf` last; not cumulative.
    pub fn classic(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.classic.iter().copied().map(u64::from)
    }

    /// Returns the number of observations.
    pub fn count(&self) -> u64 {
        self.classic().sum()
    }

    /// Returns the sum of all observations in seconds.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// Returns the same observations in native buckets; `None` if disabled.
    pub fn native(&self) -> Option<&NativeBuckets> {
        self.native.as_ref()
    }
}

/// Sparse native buckets of positive values and a count of zeros.
#[derive(Clone, Debug, PartialEq)]
pub struct NativeBuckets {
    schema: i8,
    zeros: u32,
    /// Bucket index and count, sorted by index, without empty buckets.
    counts: Vec<NativeBucket>,
}

impl NativeBuckets {
    /// Returns the current schema. It starts at 3 (9 % resolution) and decreases by one when there are too many
    /// buckets.
    pub fn schema(&self) -> i32 {
        i32::from(self.schema)
    }

    /// Returns the number of observations of exactly zero.
    pub fn zeros(&self) -> u64 {
        self.zeros.into()
    }

    /// Returns index and count of each bucket that is not empty, sorted by index.
    pub fn counts(&self) -> impl ExactSizeIterator<Item = (i32, u64)> + '_ {
        self.counts.iter().map(|bucket| (bucket.index.into(), bucket.count().into()))
    }

    fn observe(&mut self, value: f64) {
        if value <= 0.0 {
            self.zeros += 1;
            return;
        }
        let mut index = index_at_start_schema(value);
        for _ in self.schema..START_SCHEMA {
            index = parent(index);
        }
        match self.counts.binary_search_by_key(&index, |bucket| bucket.index) {
            Ok(at) => self.counts.get_mut(at).into_iter().for_each(|bucket| bucket.add(1)),
            Err(at) => self.counts.insert(at, NativeBucket::new(index)),
        }
        if self.counts.len() > MAX_NATIVE_BUCKETS && self.schema > MIN_SCHEMA {
            self.halve_resolution();
        }
    }

    /// Merges adjacent buckets, which decreases the schema by one.
    fn halve_resolution(&mut self) {
        self.schema -= 1;
        for bucket in &mut self.counts {
            bucket.index = parent(bucket.index);
        }
        self.counts.dedup_by(|later, earlier| {
            let same = later.index == earlier.index;
            if same {
                earlier.add(later.count());
            }
            same
        });
    }
}

impl Default for NativeBuckets {
    fn default() -> Self {
        Self { schema: START_SCHEMA, zeros: 0, counts: Vec::with_capacity(USUAL_NATIVE_BUCKETS) }
    }
}

/// A bucket that is not empty. It has six bytes, because 100,000 histograms have a dozen each.
#[derive(Clone, Copy, Debug, PartialEq)]
struct NativeBucket {
    index: i16,
    /// In native byte order. An array of bytes needs no padding after the index.
    count: [u8; 4],
}

impl NativeBucket {
    /// Creates a bucket with one observation.
    const fn new(index: i16) -> Self {
        Self { index, count: 1_u32.to_ne_bytes() }
    }

    const fn count(self) -> u32 {
        u32::from_ne_bytes(self.count)
    }

    const fn add(&mut self, more: u32) {
        self.count = self.count().saturating_add(more).to_ne_bytes();
    }
}

/// Returns the bucket of [`START_SCHEMA`] that holds a positive value.
fn index_at_start_schema(value: f64) -> i16 {
    // Split as frexp does: value = fraction * 2^exponent with fraction in [0.5, 1). Durations are never subnormal.
    let bits = value.to_bits();
    let exponent = i32::try_from(bits >> 52 & 0x7ff).unwrap_or(0) - 1022;
    let fraction = f64::from_bits(bits & !(0x7ff << 52) | 1022 << 52);
    let within = FRACTION_BOUNDS.partition_point(|bound| *bound < fraction);
    let index = (exponent - 1) * 8 + i32::try_from(within).unwrap_or(0);
    i16::try_from(index).unwrap_or(if index < 0 { i16::MIN } else { i16::MAX })
}

/// Returns the bucket of the next lower schema that contains this one.
fn parent(index: i16) -> i16 {
    (index >> 1) + (index & 1)
}

const START_SCHEMA: i8 = 3;
const MIN_SCHEMA: i8 = -4;
/// Usual number for handshakes with one server, the slowest of which takes nearly three times as long as the fastest.
const USUAL_NATIVE_BUCKETS: usize = 12;
/// The limit that Prometheus' client libraries recommend. It is reachable: durations from 1 ns to 1 d need 370 buckets
/// at schema 3.
const MAX_NATIVE_BUCKETS: usize = 160;

/// The bounds of schema 3 in the interval [0.5, 1): `2^(k/8 - 1)`.
const FRACTION_BOUNDS: [f64; 8] = [
    0.5,
    0.545_253_866_332_628_8,
    0.594_603_557_501_360_5,
    0.648_419_777_325_504_8,
    0.707_106_781_186_547_5,
    0.771_105_412_703_970_4,
    0.840_896_415_253_714_5,
    0.917_004_043_204_671_2,
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(value: f64) -> Duration {
        Duration::from_secs_f64(value)
    }

    #[test]
    fn an_observation_on_a_bound_belongs_below_it() {
        let buckets = Buckets::try_new(vec![0.5, 1.0]).unwrap();
        let mut histogram = Histogram::classic_and_native(&buckets);
        for value in [0.5, 0.500_001, 1.0, 1.5] {
            histogram.observe(&buckets, seconds(value));
        }
        assert!(histogram.classic().eq([1, 2, 1]));
        assert_eq!(histogram.count(), 4);
        assert!((histogram.sum() - 3.500_001).abs() < 1e-9);
    }

    #[test]
    fn native_indices_follow_the_specification() {
        // Bucket 0 ends at 1, bucket 8 at 2, bucket -8 at 0.5. A bound belongs to the bucket below it.
        for (value, index) in [(1.0, 0), (1.000_001, 1), (2.0, 8), (0.5, -8), (0.499_999, -8), (0.001, -79)] {
            assert_eq!(index_at_start_schema(value), index, "{value}");
        }
    }

    #[test]
    fn too_many_native_buckets_halve_the_resolution() {
        let buckets = Buckets::default();
        let mut histogram = Histogram::classic_and_native(&buckets);
        let mut value = 1e-9;
        for _ in 0..400 {
            histogram.observe(&buckets, seconds(value));
            value *= 1.09;
        }
        let native = histogram.native().unwrap();
        assert!(native.schema() < 3 && native.counts().len() <= MAX_NATIVE_BUCKETS);
        assert_eq!(native.counts().map(|(_, count)| count).sum::<u64>() + native.zeros(), 400);
    }

    #[test]
    fn a_full_bucket_resets_the_histogram() {
        let buckets = Buckets::default();
        let mut histogram = Histogram::classic_and_native(&buckets);
        histogram.observe(&buckets, seconds(1.0));
        histogram.classic[8] = u32::MAX;
        histogram.native.as_mut().unwrap().counts[0].count = u32::MAX.to_ne_bytes();
        histogram.observe(&buckets, seconds(1.0));
        let native = histogram.native().unwrap();
        assert_eq!(native.counts().collect::<Vec<_>>(), [(0, 1)]);
        assert_eq!((histogram.count(), histogram.sum()), (1, 1.0));
    }

    #[test]
    fn bounds_that_do_not_increase_are_invalid() {
        for (bounds, error) in [
            (vec![], BucketsError::Empty),
            (vec![0.0], BucketsError::NotPositive(0.0)),
            (vec![1.0, 1.0], BucketsError::NotIncreasing(1.0, 1.0)),
            (vec![f64::INFINITY], BucketsError::NotPositive(f64::INFINITY)),
        ] {
            assert_eq!(Buckets::try_new(bounds), Err(error));
        }
        assert!(matches!(Buckets::try_new(vec![f64::NAN]), Err(BucketsError::NotPositive(_))));
    }

    proptest! {
        #[test]
        fn every_value_lies_in_its_native_bucket(nanoseconds in 1_u64..86_400_000_000_000, merges in 0_u32..4) {
            let value = Duration::from_nanos(nanoseconds).as_secs_f64();
            let index = (0..merges).fold(index_at_start_schema(value), |index, _| parent(index));
            let base = 2_f64.powf(2_f64.powi(i32::try_from(merges).unwrap() - 3));
            let upper = base.powi(i32::from(index));
            prop_assert!(value <= upper * (1.0 + 1e-12), "{value} above {upper}");
            prop_assert!(value > upper / base * (1.0 - 1e-12), "{value} not above {}", upper / base);
        }

        #[test]
        fn classic_counts_equal_a_plain_model(values in prop::collection::vec(0_u64..20_000_000, 0..200)) {
            let buckets = Buckets::default();
            let mut histogram = Histogram::classic_and_native(&buckets);
            for micros in &values {
                histogram.observe(&buckets, Duration::from_micros(*micros));
            }
            let mut cumulative = 0;
            for (bound, count) in buckets.bounds().iter().zip(histogram.classic()) {
                cumulative += count;
                let model = values.iter().filter(|v| Duration::from_micros(**v).as_secs_f64() <= *bound).count();
                prop_assert_eq!(cumulative, model as u64);
            }
            prop_assert_eq!(histogram.count(), values.len() as u64);
        }
    }
}
