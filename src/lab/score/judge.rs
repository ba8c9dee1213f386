//! An answer beside the truth.

use serde::Serialize;

use super::super::scenario::{Cause, Event, Table, Truth, Who};

/// One thing that a method says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The class of the cause; null where the method knows no classes.
    pub class: Option<String>,
    /// The table; null where it tells none.
    pub table: Option<String>,
    /// Who is in the way.
    pub who: Said,
    /// The system whose arrival it was; null where it blames no arrival.
    pub event: Option<String>,
    /// Whether it is said as sure enough to act on.
    pub accuses: bool,
}

/// Who is said to be in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// This system.
    System(String),
    /// Several in turn.
    InTurn,
    /// Nobody else.
    Nobody,
}

/// Which parts of an answer are right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a question of its own"
)]
pub struct Hits {
    /// The class.
    pub class: bool,
    /// The table.
    pub table: bool,
    /// The blocking system.
    pub system: bool,
    /// The event.
    pub event: bool,
    /// All of these.
    pub all: bool,
}

/// How right a method's answers are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a question of its own"
)]
pub struct Judged {
    /// Of the first answer, beside the cause that it fits best.
    pub at_1: Hits,
    /// Of the first three; where there are several causes, all of them have to be among these.
    pub at_3: Hits,
    /// Whether the first answer accuses.
    pub accuses: bool,
    /// Whether the first answer accuses a system that is not to blame.
    pub wrong: bool,
    /// Whether any answer is said as sure.
    pub alarms: bool,
    /// Whether any answer that is said as sure names a system, or several.
    pub names: bool,
}

impl Judged {
    /// Judges answers, best first.
    #[must_use]
    pub fn of(answers: &[Answer], truth: &Truth) -> Self {
        let accused = |answer: &&Answer| answer.accuses;
        let first = answers.first().filter(accused);
        let best = |answer: &Answer| {
            let beside = truth.causes.iter().map(|cause| Hits::of(answer, cause));
            beside.max_by_key(|hits| hits.count()).unwrap_or_default()
        };
        let wrong = |answer: &Answer| {
            let named = matches!(answer.who, Said::System(_));
            named && !truth.causes.iter().any(|it| Hits::of(answer, it).system)
        };
        Self {
            at_1: first.map(best).unwrap_or_default(),
            at_3: Hits::of_all(answers, truth),
            accuses: first.is_some(),
            wrong: first.is_some_and(wrong),
            alarms: answers.iter().any(|answer| answer.accuses),
            names: (answers.iter().filter(accused)).any(|answer| answer.who != Said::Nobody),
        }
    }
}

impl Hits {
    pub(super) fn of(answer: &Answer, cause: &Cause) -> Self {
        let told = answer.class.as_deref();
        let class = told == Some(cause.class) || (told.is_some() && told == cause.or_class);
        let table = match cause.table {
            Table::Is(table) => answer.table.as_deref() == Some(table),
            Table::None => answer.table.is_none(),
            Table::Any => true,
        };
        let system = match (cause.who, &answer.who) {
            (Who::System(right), Said::System(named)) => named == right,
            (Who::Either(one, other), Said::System(named)) => named == one || named == other,
            (Who::InTurn, Said::InTurn) | (Who::Nobody, Said::Nobody) => true,
            _ => false,
        };
        let event = match cause.event {
            Event::Arrival(system) | Event::RateStep(system) => {
                answer.event.as_deref() == Some(system)
            }
            Event::NoArrival => answer.event.is_none(),
            Event::Any => true,
        };
        Self {
            class,
            table,
            system,
            event,
            all: class && table && system && event,
        }
    }

    fn count(self) -> u32 {
        [self.class, self.table, self.system, self.event]
            .map(u32::from)
            .iter()
            .sum()
    }

    /// Tells which parts of all causes are among the answers.
    fn of_all(answers: &[Answer], truth: &Truth) -> Self {
        let every = |part: fn(Self) -> bool| {
            !truth.causes.is_empty()
                && truth.causes.iter().all(|cause| {
                    let mut sure = answers.iter().filter(|answer| answer.accuses);
                    sure.any(|answer| part(Self::of(answer, cause)))
                })
        };
        Self {
            class: every(|hits| hits.class),
            table: every(|hits| hits.table),
            system: every(|hits| hits.system),
            event: every(|hits| hits.event),
            all: every(|hits| hits.all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNC: Cause = Cause {
        class: "row-lock",
        or_class: None,
        table: Table::Is("app.counter"),
        who: Who::System("sync"),
        event: Event::Arrival("sync"),
    };

    fn says(who: &str, table: &str, accuses: bool) -> Answer {
        Answer {
            class: Some("row-lock".to_owned()),
            table: Some(table.to_owned()),
            who: Said::System(who.to_owned()),
            event: Some(who.to_owned()),
            accuses,
        }
    }

    fn check(answers: &[Answer], causes: &'static [Cause], expected: [bool; 4]) {
        let victim = ("decision", "counter");
        let judged = Judged::of(answers, &Truth { victim, causes });
        let told = [judged.at_1.all, judged.at_3.all, judged.wrong, judged.names];
        assert_eq!(told, expected, "{answers:?}");
    }

    #[test]
    fn only_a_first_answer_that_is_right_in_all_is_a_hit_at_once() {
        let right = says("sync", "app.counter", true);
        check(
            std::slice::from_ref(&right),
            &[SYNC],
            [true, true, false, true],
        );
        check(
            &[says("other", "app.counter", true), right.clone()],
            &[SYNC],
            [false, true, true, true],
        );
        check(
            &[says("sync", "app.ledger", true)],
            &[SYNC],
            [false, false, false, true],
        );
    }

    #[test]
    fn what_is_not_said_as_sure_is_neither_hit_nor_accusation() {
        check(&[says("sync", "app.counter", false)], &[SYNC], [false; 4]);
        check(&[says("sync", "app.counter", false)], &[], [false; 4]);
        check(&[], &[SYNC], [false; 4]);
    }

    #[test]
    fn whoever_is_named_where_nothing_is_wrong_is_accused_falsely() {
        check(
            &[says("sync", "app.counter", true)],
            &[],
            [false, false, true, true],
        );
        let nobody = Answer {
            who: Said::Nobody,
            event: None,
            ..says("", "app.counter", true)
        };
        let victim = ("decision", "counter");
        let judged = Judged::of(
            &[nobody],
            &Truth {
                victim,
                causes: &[],
            },
        );
        assert!(judged.alarms && !judged.names);
    }

    #[test]
    fn of_two_causes_both_have_to_be_among_three_answers() {
        const CLOSING: Cause = Cause {
            who: Who::System("closing"),
            event: Event::Arrival("closing"),
            ..SYNC
        };
        let both = [
            says("closing", "app.counter", true),
            says("sync", "app.counter", true),
        ];
        check(&both, &[SYNC, CLOSING], [true, true, false, true]);
        check(&both[..1], &[SYNC, CLOSING], [true, false, false, true]);
    }
}
