//! Each method by what the trouble goes through, side by side.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::scenario::Group;
use super::{Judged, Method, Run, Shares};

/// How right each method is about runs of one group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupTotal {
    /// Which.
    pub group: Group,
    /// Each method, pgjam first.
    pub methods: Vec<GroupHits>,
}

/// How right a method is about runs of one group.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GroupHits {
    /// Which method.
    pub method: Method,
    /// Of its first answer.
    pub at_1: Shares,
}

impl GroupTotal {
    /// Adds up the runs of each group that has some.
    pub(super) fn all<'a>(runs: impl Iterator<Item = &'a Run>) -> Vec<Self> {
        let mut groups: BTreeMap<Group, Vec<&Run>> = BTreeMap::new();
        for run in runs {
            if let Some(group) = run.group {
                groups.entry(group).or_default().push(run);
            }
        }
        let total = |(group, runs): (Group, Vec<&Run>)| {
            let hits = |method: Method| {
                let told = runs.iter().flat_map(|run| &run.methods);
                let of_method = told.filter(|told| told.method == method);
                let judged: Vec<Judged> = of_method.map(|told| told.judged).collect();
                GroupHits {
                    method,
                    at_1: Shares::of(&judged, |judged| judged.at_1),
                }
            };
            Self {
                group,
                methods: Method::ALL.into_iter().map(hits).collect(),
            }
        };
        groups.into_iter().map(total).collect()
    }
}
