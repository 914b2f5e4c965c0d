//! Medians and spreads of a few samples, and numbers for people.

use atomic_store_core::grouped;

/// The middle of some numbers, and the lowest and the highest.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Middle {
    /// The median.
    pub(crate) median: f64,
    /// The lowest.
    pub(crate) low: f64,
    /// The highest.
    pub(crate) high: f64,
}

impl Middle {
    /// Of some numbers; nothing of none.
    pub(crate) fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Middle> {
        let mut numbers: Vec<f64> = numbers.into_iter().collect();
        numbers.sort_by(f64::total_cmp);
        let (low, high) = (*numbers.first()?, *numbers.last()?);
        let half = numbers.len() / 2;
        let median = match numbers.len() % 2 {
            0 => f64::midpoint(numbers[half - 1], numbers[half]),
            _ => numbers[half],
        };
        Some(Middle { median, low, high })
    }

    /// How far the lowest and the highest are apart, in percent of the median.
    pub(crate) fn spread_percent(&self) -> f64 {
        (self.high - self.low) / self.median.max(1e-9) * 100.0
    }
}

/// A rate: three digits that mean something.
pub(crate) fn rate(per_s: f64) -> String {
    let rounded = match per_s {
        value if value >= 100_000.0 => (value / 1_000.0).round() * 1_000.0,
        value if value >= 10_000.0 => (value / 100.0).round() * 100.0,
        value if value >= 1_000.0 => (value / 10.0).round() * 10.0,
        value => value.round(),
    };
    grouped(rounded as u64)
}

/// A time given in microseconds.
pub(crate) fn time(us: f64) -> String {
    match us {
        us if us < 1_000.0 => format!("{us:.0} us"),
        us if us < 10_000.0 => format!("{:.1} ms", us / 1e3),
        us if us < 1_000_000.0 => format!("{:.0} ms", us / 1e3),
        us => format!("{:.1} s", us / 1e6),
    }
}

/// A ratio, as in `12 x`.
pub(crate) fn ratio(ratio: f64) -> String {
    if ratio < 10.0 { format!("{ratio:.1} x") } else { format!("{ratio:.0} x") }
}

/// A size given in bytes.
pub(crate) fn bytes(bytes: f64) -> String {
    match bytes {
        b if b < 10_240.0 => format!("{b:.0} B"),
        b if b < 10.0 * 1024.0 * 1024.0 => format!("{:.0} KiB", b / 1024.0),
        b => format!("{:.0} MiB", b / 1024.0 / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::{Middle, bytes, grouped, rate, ratio, time};

    #[test]
    fn the_middle_of_an_even_number_lies_between_two() {
        assert_eq!(Middle::of([]), None);
        let middle = Middle::of([3.0, 1.0, 2.0, 10.0]).expect("four");
        assert_eq!(middle, Middle { median: 2.5, low: 1.0, high: 10.0 });
        assert_eq!(middle.spread_percent(), 360.0);
        assert_eq!(Middle::of([3.0, 1.0, 2.0]).map(|middle| middle.median), Some(2.0));
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(rate(123_456.0), "123,000");
        assert_eq!(rate(12_345.0), "12,300");
        assert_eq!(rate(999.6), "1,000");
        assert_eq!((ratio(2.345), ratio(23.4)), ("2.3 x".to_owned(), "23 x".to_owned()));
        assert_eq!((time(181.0), time(2_050.0)), ("181 us".to_owned(), "2.0 ms".to_owned()));
        assert_eq!(bytes(2_097_152.0), "2048 KiB");
    }
}
