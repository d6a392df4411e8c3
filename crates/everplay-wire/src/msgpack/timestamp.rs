use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// A point in time, a `Date` in JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp {
    secs: i64,
    nanos: u32,
}

/// The name by which our own serializer and deserializer recognise a timestamp among other types.
pub(super) const NAME: &str = "$everplay_wire::msgpack::Timestamp";

const NANOS_PER_SEC: u32 = 1_000_000_000;

impl Timestamp {
    /// Seconds since 1970 UTC (leap seconds not counted) and nanoseconds into that second; `None` when those are a
    /// second or more.
    pub fn new(secs: i64, nanos: u32) -> Option<Self> {
        (nanos < NANOS_PER_SEC).then_some(Self { secs, nanos })
    }

    /// Milliseconds since 1970 UTC, what `Date.getTime` gives.
    pub fn from_millis(millis: i64) -> Self {
        let nanos = millis.rem_euclid(1000) as u32 * 1_000_000;
        Self { secs: millis.div_euclid(1000), nanos }
    }

    /// Whole seconds since 1970 UTC.
    pub fn secs(self) -> i64 {
        self.secs
    }

    /// Nanoseconds into the second.
    pub fn nanos(self) -> u32 {
        self.nanos
    }

    /// Milliseconds since 1970 UTC; stops at the ends of `i64`.
    pub fn millis(self) -> i64 {
        self.secs.saturating_mul(1000).saturating_add(i64::from(self.nanos / 1_000_000))
    }
}

/// As in JavaScript: `1970-01-01T00:00:00.000Z`; years beyond 9999 get a sign and six digits.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.secs.div_euclid(86_400), self.secs.rem_euclid(86_400));
        // Days to a date in the proleptic Gregorian calendar: count from 1 March of year 0, so that the leap day is
        // the last day of a year, in eras of 400 years, which all have the same number of days.
        let days = i128::from(days) + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i128::from(month <= 2);
        if (0..=9999).contains(&year) {
            write!(f, "{year:04}")?;
        } else {
            write!(f, "{year:+07}")?;
        }
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let milli = self.nanos / 1_000_000;
        write!(f, "-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(NAME, &(self.secs, self.nanos))
    }
}

/// From a timestamp, from milliseconds as a number, or from what [`Serialize`] made in another format.
impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(NAME, TimestampVisitor)
    }
}

struct TimestampVisitor;

impl<'de> Visitor<'de> for TimestampVisitor {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("date")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Timestamp, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_i64<E: Error>(self, millis: i64) -> Result<Timestamp, E> {
        Ok(Timestamp::from_millis(millis))
    }

    fn visit_u64<E: Error>(self, millis: u64) -> Result<Timestamp, E> {
        Ok(Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX)))
    }

    fn visit_f64<E: Error>(self, millis: f64) -> Result<Timestamp, E> {
        // The cast stops at the ends of i64 and makes not-a-number 0, which is why that is checked.
        if millis.is_nan() {
            Err(E::custom("invalid date"))
        } else {
            Ok(Timestamp::from_millis(millis as i64))
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Timestamp, A::Error> {
        let secs = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
        let nanos = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(1, &self))?;
        Timestamp::new(secs, nanos).ok_or_else(|| A::Error::custom("a second has less nanoseconds"))
    }
}
