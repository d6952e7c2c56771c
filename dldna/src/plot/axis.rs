//! Ranges, ticks and numbers of an axis.

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use std::ops::Range;

/// An axis over plot coordinates: the values themselves, or their decimal logarithms.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    pub log: bool,
    /// The ends, in plot coordinates.
    pub low: f64,
    pub high: f64,
    /// Where the ticks stand, in plot coordinates.
    pub ticks: Vec<f64>,
    /// Digits after the point that tell neighbouring ticks apart.
    decimals: usize,
}

impl Axis {
    /// An axis that holds all `values` that can be drawn (finite, of a size up to [`LARGEST`], and positive if `log`), or None if there
    /// is none. `margin` is the share of the span left free at either end.
    pub fn fit(
        values: impl Iterator<Item = f64> + Clone,
        log: bool,
        margin: f64,
        ticks: usize,
    ) -> Option<Axis> {
        let drawable = values.filter_map(|v| plot_coordinate(v, log));
        let low = drawable.clone().reduce(f64::min)?;
        let high = drawable.clone().reduce(f64::max)?;
        let only_integers = !log && drawable.clone().all(|v| v.fract() == 0.0);
        let (low, high) = with_span(low, high);
        let span = high - low;
        Some(Axis::over(
            low - margin * span,
            high + margin * span,
            log,
            ticks,
            only_integers,
        ))
    }

    /// An axis from `low` to `high` in plot coordinates, both of a size up to a few times [`LARGEST`].
    pub fn over(low: f64, high: f64, log: bool, ticks: usize, only_integers: bool) -> Axis {
        let (low, high) = with_span(low, high);
        if log {
            let ticks = log_ticks(low, high, ticks);
            return Axis {
                log,
                low,
                high,
                ticks,
                decimals: 0,
            };
        }
        let step = nice_step(high - low, ticks);
        let step = if only_integers { step.max(1.0) } else { step };
        let first = (low / step - 1e-9).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        let ticks = (first..=last).map(|i| i as f64 * step).collect();
        let decimals = (-(step.log10() + 1e-9).floor()).max(0.0) as usize;
        Axis {
            log,
            low,
            high,
            ticks,
            decimals,
        }
    }

    /// The same axis with its lower end at zero, for values that are lengths or amounts.
    pub fn starting_at_zero(&self, ticks: usize) -> Axis {
        Axis::over(0.0, self.high, self.log, ticks, false)
    }

    /// Where `value` stands in plot coordinates, if it can be drawn.
    pub fn place(&self, value: f64) -> Option<f64> {
        plot_coordinate(value, self.log)
    }

    /// The number that stands at a tick.
    pub fn label(&self, tick: f64) -> String {
        let size = self.high.abs().max(self.low.abs());
        if self.log {
            number(10f64.powf(tick))
        } else if size >= 1e6 || self.decimals > MOST_DECIMALS {
            number(tick)
        } else {
            fixed(tick, self.decimals)
        }
    }
}

/// plotters places everything by this; it takes plot coordinates.
impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, (start, end): (i32, i32)) -> i32 {
        let share = (place - self.low) / (self.high - self.low);
        start + (share * f64::from(end - start)).round() as i32
    }

    fn key_points<H: KeyPointHint>(&self, hint: H) -> Vec<f64> {
        if hint.weight().allow_light_points() {
            Vec::new()
        } else {
            self.ticks.clone()
        }
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

/// The largest value that is drawn: differences of such values are still finite.
pub(crate) const LARGEST: f64 = 1e300;

/// Numbers of one keep their meaning with so many digits; more would fill the figure.
const MOST_DECIMALS: usize = 17;

fn plot_coordinate(value: f64, log: bool) -> Option<f64> {
    let place = if log { value.log10() } else { value };
    (value.abs() <= LARGEST && place.is_finite()).then_some(place)
}

/// The ends moved apart where nothing, or too little to be divided, lies between them.
pub(super) fn with_span(low: f64, high: f64) -> (f64, f64) {
    // Ten steps of the numbers around there, or of the smallest numbers.
    let least = (10.0 * f64::EPSILON * low.abs().max(high.abs())).max(1e-300);
    if high - low >= least {
        return (low, high);
    }
    let half = 0.5 * (1e6 * least).max(1.0);
    (low - half, high + half)
}

/// The step of 1, 2 or 5 times a power of ten that makes at most `count` intervals of `span`.
fn nice_step(span: f64, count: usize) -> f64 {
    let rough = span / count as f64;
    let decade = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|f| f * decade >= rough * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * decade
}

/// Powers of ten; where only one or two of them are in sight, 2 and 5 times those as well.
fn log_ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let decades = (low - 1e-9).ceil() as i64..=(high + 1e-9).floor() as i64;
    if decades.clone().count() > 2 {
        let stride = (decades.clone().count() - 1) / count.max(1) + 1;
        return decades.step_by(stride).map(|d| d as f64).collect();
    }
    (*decades.start() - 1..=*decades.end())
        .flat_map(|d| [1.0f64, 2.0, 5.0].map(|m| d as f64 + m.log10()))
        .filter(|t| (low - 1e-9..=high + 1e-9).contains(t))
        .collect()
}

/// `value` in as few characters as a reader needs: at most three significant digits below 1,000, a suffix from a million on.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".to_owned();
    }
    if !value.is_finite() {
        return if value.is_nan() {
            "not a number"
        } else if value > 0.0 {
            "∞"
        } else {
            "−∞"
        }
        .to_owned();
    }
    if !(1e-4..1e15).contains(&size) {
        let text = format!("{value:.1e}").replace('-', "−");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let mantissa = mantissa.trim_end_matches(".0");
        let power = format!("10{}", superscript(exponent));
        return if mantissa == "1" {
            power
        } else {
            format!("{mantissa} × {power}")
        };
    }
    // Three significant digits, but never fewer than the integer part has.
    let (unit, suffix) = match size {
        1e12.. => (1e12, "T"),
        1e9.. => (1e9, "G"),
        1e6.. => (1e6, "M"),
        _ => (1.0, ""),
    };
    let digits = (2.0 - ((size / unit).log10() + 1e-9).floor()).max(0.0) as usize;
    trimmed(value / unit, digits) + suffix
}

/// `value` with at most `decimals` digits after the point, without zeros at the end.
fn trimmed(value: f64, decimals: usize) -> String {
    let text = fixed(value, decimals);
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// `value` with exactly `decimals` digits after the point, a real minus sign, and commas between thousands.
pub(crate) fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{:.*}", decimals, value.abs());
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let is_zero = text.chars().all(|c| c == '0' || c == '.');
    let sign = if value < 0.0 && !is_zero { "−" } else { "" };
    format!("{sign}{grouped}{rest}")
}

fn superscript(number: &str) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let to_raised = |c: char| c.to_digit(10).map_or('⁻', |d| DIGITS[d as usize]);
    number.chars().map(to_raised).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        let cases = [
            (0.0, "0"),
            (1.0, "1"),
            (-2.5, "−2.5"),
            (0.125, "0.125"),
            (0.00123456, "0.00123"),
            (1234.0, "1,234"),
            (999_999.0, "999,999"),
            (25_557_032.0, "25.6M"),
            (138_357_544.0, "138M"),
            (1_769_472.0, "1.77M"),
            (4.1e9, "4.1G"),
            (1e-5, "10⁻⁵"),
            (2.5e-7, "2.5 × 10⁻⁷"),
            (9.99e-6, "10⁻⁵"),
            (-3e20, "−3 × 10²⁰"),
            (5e-324, "4.9 × 10⁻³²⁴"),
            (f64::MAX, "1.8 × 10³⁰⁸"),
            (f64::INFINITY, "∞"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
        assert_eq!(fixed(-0.0001, 2), "0.00");
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let axis = Axis::fit([0.0, 0.97].into_iter(), false, 0.0, 6).unwrap();
        let labels: Vec<_> = axis.ticks.iter().map(|&t| axis.label(t)).collect();
        assert_eq!(labels, ["0.0", "0.2", "0.4", "0.6", "0.8"]);
        let millions = Axis::fit([0.0, 8.4e6].into_iter(), false, 0.0, 5).unwrap();
        let labels: Vec<_> = millions.ticks.iter().map(|&t| millions.label(t)).collect();
        assert_eq!(labels, ["0", "2M", "4M", "6M", "8M"]);
        let epochs = Axis::fit([1.0, 3.0].into_iter(), false, 0.0, 8).unwrap();
        assert_eq!(epochs.ticks, [1.0, 2.0, 3.0]);
        let decades = Axis::fit([0.01, 1000.0].into_iter(), true, 0.0, 8).unwrap();
        assert_eq!(
            decades
                .ticks
                .iter()
                .map(|&t| decades.label(t))
                .collect::<Vec<_>>(),
            ["0.01", "0.1", "1", "10", "100", "1,000"]
        );
        let narrow = Axis::fit([3.0, 40.0].into_iter(), true, 0.0, 8).unwrap();
        assert_eq!(
            narrow
                .ticks
                .iter()
                .map(|&t| narrow.label(t))
                .collect::<Vec<_>>(),
            ["5", "10", "20"]
        );
    }

    #[test]
    fn what_cannot_be_drawn_is_left_out() {
        assert!(Axis::fit([f64::NAN].into_iter(), false, 0.0, 5).is_none());
        assert!(Axis::fit([-1.0, 0.0].into_iter(), true, 0.0, 5).is_none());
        let one = Axis::fit([7.0, f64::NAN].into_iter(), false, 0.0, 5).unwrap();
        assert!(one.low < 7.0 && one.high > 7.0 && !one.ticks.is_empty());
    }
}
