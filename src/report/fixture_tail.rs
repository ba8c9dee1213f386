//! Hand-made tails for the renderers' tests.

use crate::attribution::finding::{NotTold, Quantiles, Tail, TailBasis};

/// Too few rows for a quantile.
pub(crate) fn few_rows() -> Quantiles {
    Quantiles {
        p95_ms: None,
        p99_ms: None,
        p99_bracket_ms: None,
        basis: None,
        rows: 14,
        executions: 14,
        exact: 0,
        seen_per_call: None,
        why_not: Some(NotTold::FewRows),
    }
}

/// A tail that is told after, and not before.
pub(crate) fn tail() -> Tail {
    Tail {
        before: Some(few_rows()),
        after: Quantiles {
            p95_ms: Some(41.2),
            p99_ms: Some(97.3),
            p99_bracket_ms: Some([82.0, 131.5]),
            basis: Some(TailBasis::Ages),
            rows: 358,
            executions: 301,
            exact: 122,
            seen_per_call: Some(0.31),
            why_not: None,
        },
    }
}
