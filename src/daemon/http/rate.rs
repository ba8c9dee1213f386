//! How often one caller may ask: a bucket of tokens per address.
//!
//! Those who have shown who they are have one of their own at each address, which nobody else
//! can empty.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many requests at once.
const BURST: f64 = 60.0;
/// So many more each second.
const PER_SECOND: f64 = 20.0;
/// So many addresses are told apart; when there are more, those who have rested are forgotten.
const CALLERS: usize = 1_024;

/// The buckets.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<HashMap<Asker, Bucket>>);

/// Whose bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asker {
    pub(super) address: IpAddr,
    pub(super) is_known: bool,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    const fn full(at: Instant) -> Self {
        Self { left: BURST, at }
    }

    fn filled(self, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        (self.left + since * PER_SECOND).min(BURST)
    }
}

impl Rates {
    /// Takes `cost` tokens from a caller's bucket, or tells how long it should wait for them.
    pub(super) fn take(&self, caller: Asker, cost: f64, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= CALLERS && !buckets.contains_key(&caller) {
            buckets.retain(|_, bucket| bucket.filled(now) < BURST);
            if buckets.len() >= CALLERS {
                return Err(Duration::from_secs(1));
            }
        }
        let bucket = buckets.entry(caller).or_insert(Bucket::full(now));
        let left = bucket.filled(now);
        if left < cost {
            return Err(Duration::from_secs_f64((cost - left) / PER_SECOND));
        }
        *bucket = Bucket {
            left: left - cost,
            at: now,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn caller(n: u32) -> Asker {
        Asker {
            address: Ipv4Addr::from(n).into(),
            is_known: false,
        }
    }

    #[test]
    fn a_burst_is_let_through_and_then_the_rate_holds() {
        let (rates, begun) = (Rates::default(), Instant::now());
        let let_through = |at: f64| {
            let now = begun + Duration::from_secs_f64(at);
            (0..1_000)
                .filter(|_| rates.take(caller(1), 1.0, now).is_ok())
                .count()
        };
        assert_eq!(
            [let_through(0.0), let_through(1.0), let_through(1.5)],
            [60, 20, 10]
        );
        assert!(rates.take(caller(2), 1.0, begun).is_ok());
    }

    #[test]
    fn many_callers_do_not_fill_the_memory() {
        let (rates, begun) = (Rates::default(), Instant::now());
        let held = |rates: &Rates| rates.0.lock().map_or(0, |buckets| buckets.len());
        for n in 0..100_000 {
            let _ = rates.take(caller(n), 1.0, begun);
        }
        assert_eq!(held(&rates), CALLERS);
        let later = begun + Duration::from_mins(1);
        assert!(rates.take(caller(200_000), 1.0, later).is_ok());
        assert_eq!(held(&rates), 1);
    }
}
