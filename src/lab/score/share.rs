//! How often something was so, with its interval.

use serde::Serialize;

/// How often something was so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Share {
    /// So often.
    pub hits: usize,
    /// Of so many.
    pub of: usize,
    /// Its 95 % interval by Wilson; from 0 to 1 where there is nothing.
    pub wilson95: [f64; 2],
}

impl Share {
    /// Counts.
    pub fn of(outcomes: impl IntoIterator<Item = bool>) -> Self {
        let (mut hits, mut of) = (0, 0);
        for outcome in outcomes {
            of += 1;
            hits += usize::from(outcome);
        }
        Self::counted(hits, of)
    }

    /// Takes what was counted.
    #[must_use]
    pub fn counted(hits: usize, of: usize) -> Self {
        Self {
            hits,
            of,
            wilson95: wilson(hits, of),
        }
    }
}

/// Gives Wilson's score interval at 95 % (Wilson, JASA 22, 1927).
fn wilson(hits: usize, of: usize) -> [f64; 2] {
    const Z: f64 = 1.959_964;
    if of == 0 {
        return [0.0, 1.0];
    }
    let n = of as f64;
    let share = hits as f64 / n;
    let middle = share + Z * Z / (2.0 * n);
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    [(middle - half) / scale, (middle + half) / scale].map(|bound| bound.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_wilson_s() {
        let [low, high] = wilson(9, 10);
        // Newcombe, Statistics in Medicine 17 (1998), has the formula; these are its figures.
        assert!(
            (low - 0.5958).abs() < 1e-3 && (high - 0.9821).abs() < 1e-3,
            "{low} {high}"
        );
        let [none, _] = wilson(0, 5);
        assert!(none.abs() < 1e-12);
        let nothing = wilson(0, 0);
        assert!(nothing[0] < f64::EPSILON && nothing[1] > 0.999);
    }
}
