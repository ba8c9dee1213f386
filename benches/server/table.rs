//! Figures with their spread, in columns.

use std::fmt;

/// Measurements of one thing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    pub(crate) fn add(&mut self, figure: f64) {
        self.0.push(figure);
    }

    /// Gives the figure below which the share `at` of them lies; NaN where there are none.
    fn quantile(&self, at: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1) as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rounded place in a short list"
        )]
        let place = (last * at).round() as usize;
        sorted.get(place).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// Says how many times as much `self` is, by the median of the rounds' ratios: `5.3 ×`.
    pub(crate) fn times(&self, other: &Self) -> String {
        let ratios = self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect();
        format!("{:.1} ×", Self(ratios).median())
    }
}

/// The median, and in parentheses the 10th and 90th percentile.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = [0.5, 0.1, 0.9].map(|at| self.quantile(at));
        // Three digits of a small figure, none after the point of a big one.
        let digits = match figures[0] {
            ..10.0 => 2,
            ..100.0 => 1,
            _ => 0,
        };
        let [median, low, high] = figures.map(|figure| format!("{figure:.digits$}"));
        write!(f, "{median} ({low}-{high})")
    }
}

/// A table whose columns have these widths and stand to the right.
pub(crate) struct Table<const N: usize>([usize; N]);

impl<const N: usize> Table<N> {
    /// Prints an empty line and the headings: what the rows are, and what the columns are.
    pub(crate) fn headed(about: &str, headings: [&str; N], widths: [usize; N]) -> Self {
        let table = Self(widths);
        println!();
        table.row(about, &headings.map(str::to_owned));
        table
    }

    /// Prints a row.
    pub(crate) fn row(&self, about: &str, cells: &[String; N]) {
        print!("{about:<24}");
        for (cell, width) in cells.iter().zip(self.0) {
            print!("  {cell:>width$}");
        }
        println!();
    }
}
