//! What the server itself says: `pg_blocking_pids()` for everybody who waits.

use std::collections::{BTreeMap, BTreeSet};

/// Who waits for whom, by pid; parallel workers are their leader, prepared transactions all 0.
pub(crate) type Blockers = BTreeMap<i32, BTreeSet<i32>>;

/// Asks for everybody who waits for a lock.
///
/// The function gives a worker's blockers with those of its whole lock group.
const SQL: &str = "
select coalesce(leader_pid, pid), pg_blocking_pids(pid)
  from pg_stat_activity
 where wait_event_type = 'Lock'";

/// Where the server's answers lead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Truth {
    /// Each waiter's blockers.
    pub(crate) blockers: Blockers,
}

impl Truth {
    pub(crate) async fn ask(client: &tokio_postgres::Client) -> Self {
        let rows = client.query(SQL, &[]).await.unwrap();
        let mut blockers = Blockers::new();
        for row in rows {
            let by: Vec<i32> = row.get(1);
            let of: &mut BTreeSet<i32> = blockers.entry(row.get(0)).or_default();
            of.extend(by);
        }
        Self { blockers }
    }

    /// Gives everybody on whom a waiter's wait can be blamed: who waits for nobody, and the
    /// members of a cycle, at the end of whatever way leads from the waiter.
    pub(crate) fn ends(&self, waiter: i32) -> BTreeSet<i32> {
        let reached = self.reached(waiter);
        let is_end = |&pid: &i32| !self.blockers.contains_key(&pid) || self.is_in_cycle(pid);
        reached.into_iter().filter(is_end).collect()
    }

    /// Tells whether a waiter waits for itself in the end.
    pub(crate) fn is_in_cycle(&self, waiter: i32) -> bool {
        self.reached(waiter).contains(&waiter)
    }

    /// Gives everybody who can be reached from a waiter; itself only where a way leads back.
    fn reached(&self, waiter: i32) -> BTreeSet<i32> {
        let mut reached = BTreeSet::new();
        let mut next = vec![waiter];
        while let Some(pid) = next.pop() {
            for &blocker in self.blockers.get(&pid).into_iter().flatten() {
                if reached.insert(blocker) {
                    next.push(blocker);
                }
            }
        }
        reached
    }
}
