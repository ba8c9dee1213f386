//! What an older version wrote.

use super::*;

#[test]
fn ticks_from_before_they_told_why_they_came_are_read() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Older {
        at: Timestamp,
        span_us: Span,
        server_us: Span,
        missed: u32,
    }
    impl rows::Row for Older {
        const TABLE: &'static str = "ticks";
        fn fields() -> Vec<arrow_schema::FieldRef> {
            let mut fields = rows::TickRow::fields();
            let older = ["at", "span_us", "server_us", "missed"];
            fields.retain(|field| older.contains(&field.name().as_str()));
            fields
        }
        fn at(&self) -> Option<Timestamp> {
            Some(self.at)
        }
    }
    let folder = written(&recording());
    let ticks = parts(&folder.path().join("ticks"));
    let older = Older {
        at: at(0),
        span_us: Span::from_millis(100),
        server_us: Span::ZERO,
        missed: 0,
    };
    fs::write(&ticks[0], format::encode(&[&older]).unwrap()).unwrap();
    let read = Recording::open(folder.path()).unwrap();
    assert_eq!(read.losses, recording().losses);
    let first = read.snapshots[0].tick;
    assert_eq!(first.deadlock_timeout, Tick::DEADLOCK_TIMEOUT);
    assert_eq!(first.stretch(), [at(-100_000), at(0)]);
    assert_eq!(
        (first.period, first.pace),
        (Span::ZERO, PaceReason::Unknown)
    );
}
