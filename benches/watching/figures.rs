//! Means of pairs, with their intervals.

use std::fmt;

use statrs::distribution::{ContinuousCDF as _, StudentsT};

/// A mean and the half width of its 95 % interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mean {
    pub(crate) value: f64,
    pub(crate) half_width: f64,
}

impl Mean {
    /// Gives the mean of `figures`; none of fewer than two.
    pub(crate) fn of(figures: &[f64]) -> Option<Self> {
        let count = figures.len() as f64;
        if count < 2.0 {
            return None;
        }
        let value = figures.iter().sum::<f64>() / count;
        let squares = figures.iter().map(|figure| (figure - value).powi(2));
        let deviation = (squares.sum::<f64>() / (count - 1.0)).sqrt();
        let t = StudentsT::new(0.0, 1.0, count - 1.0)
            .ok()?
            .inverse_cdf(0.975);
        Some(Self {
            value,
            half_width: t * deviation / count.sqrt(),
        })
    }

    /// Gives the mean ratio of pairs, which is that of their logarithms.
    pub(crate) fn ratio(pairs: &[(f64, f64)]) -> Option<Ratio> {
        let logarithms: Vec<f64> = pairs.iter().map(|(a, b)| (a / b).ln()).collect();
        Self::of(&logarithms).map(Ratio)
    }

    /// Gives the mean difference of pairs.
    pub(crate) fn difference(pairs: &[(f64, f64)]) -> Option<Self> {
        let differences: Vec<f64> = pairs.iter().map(|(a, b)| a - b).collect();
        Self::of(&differences)
    }
}

/// `0.62 ± 0.03`
impl fmt::Display for Mean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let (value, half_width) = (self.value, self.half_width);
        write!(f, "{value:.digits$} ± {half_width:.digits$}")
    }
}

/// A ratio, kept as its logarithm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ratio(Mean);

/// `0.996 (0.988 to 1.004)`
impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Mean { value, half_width }) = self;
        let [ratio, low, high] = [0.0, -half_width, *half_width].map(|off| (value + off).exp());
        write!(f, "{ratio:.3} ({low:.3} to {high:.3})")
    }
}

/// Gives the figure below which the share `at` of them lies; none where there are none.
pub(crate) fn quantile(mut figures: Vec<f64>, at: f64) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rounded-up place in a list"
    )]
    let place = (figures.len() as f64 * at).ceil() as usize;
    figures.get(place.saturating_sub(1)).copied()
}
