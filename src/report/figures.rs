//! Figures as people say them: rounded to what the estimate can carry.

use crate::time::Span;

/// Says milliseconds with their unit: `0.46 ms`, `12.3 ms`, `9.0 s`.
#[must_use]
pub fn milliseconds(ms: f64) -> String {
    let (number, unit) = parts(ms, ms);
    format!("{number} {unit}")
}

/// Says an interval of milliseconds in the unit of the estimate it belongs to: `10.1 to 12.4`.
#[must_use]
pub fn interval(estimate_ms: f64, [low, high]: [f64; 2]) -> String {
    let say = |bound: f64| parts(estimate_ms, bound).0;
    format!("{} to {}", say(low), say(high))
}

/// Rounds `ms` in the unit and to the decimals that `reference` asks for.
fn parts(reference: f64, ms: f64) -> (String, &'static str) {
    let (scale, unit) = if reference.abs() >= 1_000.0 {
        (1_000.0, "s")
    } else {
        (1.0, "ms")
    };
    let decimals = match (reference / scale).abs() {
        size if size >= 99.95 => 0,
        size if size >= 0.995 => 1,
        size if size >= 0.0095 => 2,
        _ => 3,
    };
    let number = format!("{:.decimals$}", ms / scale);
    // Rounding must not leave a minus without a number behind it.
    let is_zero = number.chars().all(|c| matches!(c, '-' | '0' | '.'));
    let number = if is_zero {
        number.trim_start_matches('-').to_owned()
    } else {
        number
    };
    (number, unit)
}

/// Says how many a second: `4.0`, `120`.
#[must_use]
pub fn rate(per_second: f64) -> String {
    let decimals = usize::from(per_second < 99.95);
    format!("{per_second:.decimals$}")
}

/// Says a share of 0 to 1 as a percentage, keeping `under 1 %` and `over 99 %` apart from 0 and 100.
#[must_use]
pub fn percent(share: f64) -> String {
    match share * 100.0 {
        p if p > 0.0 && p < 0.5 => "under 1 %".to_owned(),
        p if (99.5..100.0).contains(&p) => "over 99 %".to_owned(),
        p => format!("{p:.0} %"),
    }
}

/// Says how long something lasted: `162 ms`, `9.0 s`, `3 h 12 min`.
#[must_use]
pub fn duration(ms: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the cast saturates, which is as long as anything lasts"
    )]
    let micros = (ms.max(0.0) * 1e3) as i64;
    Span::from_micros(micros).to_string()
}

/// Writes a count with its thousands apart: `31,044`.
#[must_use]
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut said = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            said.push(',');
        }
        said.push(digit);
    }
    said
}

/// Says how many of something there are: `1 session`, `14 sessions`.
#[must_use]
pub fn plural(n: usize, noun: &str) -> String {
    format!(
        "{} {noun}{}",
        count(n as u64),
        if n == 1 { "" } else { "s" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_keeps_the_decimals_that_matter() {
        let said = [0.0046, 0.46, 1.04, 12.31, 162.4, 9_030.0].map(milliseconds);
        assert_eq!(
            said,
            [
                "0.005 ms", "0.46 ms", "1.0 ms", "12.3 ms", "162 ms", "9.0 s"
            ]
        );
    }

    #[test]
    fn an_interval_speaks_in_the_unit_of_its_estimate() {
        assert_eq!(interval(11.24, [10.1, 12.4]), "10.1 to 12.4");
        assert_eq!(interval(1_200.0, [900.0, 1_500.0]), "0.9 to 1.5");
        assert_eq!(interval(0.07, [-0.0001, 0.17]), "0.00 to 0.17");
    }

    #[test]
    fn a_small_share_is_not_nothing_and_a_large_one_not_all() {
        assert_eq!(
            [0.0, 0.001, 0.93, 0.999, 1.0].map(percent),
            ["0 %", "under 1 %", "93 %", "over 99 %", "100 %"]
        );
    }

    #[test]
    fn counts_are_grouped_by_thousands() {
        assert_eq!(
            [0, 999, 31_044, 1_000_000].map(count),
            ["0", "999", "31,044", "1,000,000"]
        );
        assert_eq!(
            [1, 14].map(|n| plural(n, "session")),
            ["1 session", "14 sessions"]
        );
    }
}
