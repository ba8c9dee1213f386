//! What a monitoring system scrapes, in OpenMetrics.
//!
//! Counters run from the daemon's start. How many series there can be does not depend on what
//! the watched servers do: see [`crate::daemon::live::series`].

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::Shared;
use super::problem::Problem;
use crate::daemon::live::totals::{Blocker, Totals};
use crate::daemon::live::{Live, Look, Status};

/// The form that is spoken, which every Prometheus since 2.5 takes.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers a scrape.
pub(super) async fn show(State(app): State<Shared>) -> Result<Response, Problem> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape::of(&app.live)));
    let mut answer = String::new();
    text::encode(&mut answer, &registry).map_err(|_| {
        let detail = "a defect in pgjam: the metrics could not be written";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    })?;
    Ok(([(CONTENT_TYPE, OPENMETRICS)], answer).into_response())
}

/// What all servers had to tell at one moment.
#[derive(Debug)]
struct Scrape(Vec<Told>);

#[derive(Debug)]
struct Told {
    name: Arc<str>,
    status: Status,
    totals: Totals,
    look: Option<Arc<Look>>,
    is_watched: bool,
}

impl Scrape {
    fn of(live: &Live) -> Self {
        let servers = live.servers();
        let told = servers.iter().map(|server| Told {
            name: Arc::clone(server.name()),
            status: server.status(),
            totals: server.totals(),
            look: server.look(),
            is_watched: server.not_ready().is_none(),
        });
        Self(told.collect())
    }
}

/// The labels of a series, its server's name first.
type Labels<'a> = Vec<(&'a str, &'a str)>;

/// A kind of series.
struct Family {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    kind: MetricType,
}

impl Family {
    const fn new(name: &'static str, kind: MetricType, help: &'static str) -> Self {
        Self {
            name,
            help,
            unit: None,
            kind,
        }
    }

    fn counter(name: &'static str, help: &'static str) -> Self {
        Self::new(name, MetricType::Counter, help)
    }

    fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::new(name, MetricType::Gauge, help)
    }

    fn of(self, unit: Unit) -> Self {
        Self {
            unit: Some(unit),
            ..self
        }
    }

    /// Writes the series of all servers.
    fn write<'a>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        series: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) -> fmt::Result {
        let unit = self.unit.as_ref();
        let mut family = encoder.encode_descriptor(self.name, self.help, unit, self.kind)?;
        for (labels, value) in series {
            let mut one = family.encode_family(&labels)?;
            match self.kind {
                MetricType::Counter => one.encode_counter::<Labels<'_>, f64, f64>(&value, None)?,
                _ => one.encode_gauge(&value)?,
            }
        }
        Ok(())
    }
}

impl Scrape {
    /// Gives one series a server, of those that have one.
    fn each(&self, value: impl Fn(&Told) -> Option<f64>) -> Vec<(Labels<'_>, f64)> {
        let told = self.0.iter().filter_map(|told| {
            let labels = vec![("server", &*told.name)];
            Some((labels, value(told)?))
        });
        told.collect()
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let to = &mut encoder;
        build(to)?;
        self.waits(to)?;
        self.load(to)?;
        self.looking(to)?;
        self.recording(to)
    }
}

fn build(to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "The pgjam that answers.";
    let mut family = to.encode_descriptor("pgjam_build", help, None, MetricType::Info)?;
    family.encode_info(&vec![("version", env!("CARGO_PKG_VERSION"))])
}

impl Scrape {
    fn waits(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut series = Vec::new();
        for told in &self.0 {
            for (key, time) in told.totals.waits.iter() {
                let (kind, system) = match &key.blocker {
                    Blocker::System(name) => ("session", &**name),
                    Blocker::Unnamed => ("session", ""),
                    Blocker::Prepared(owner) => ("prepared", owner.as_deref().unwrap_or_default()),
                    Blocker::Unseen => ("unseen", ""),
                };
                let table = key.table.as_deref().unwrap_or_default();
                let labels = wait(&told.name, &key.class, table, kind, system);
                series.push((labels, time.as_secs_f64()));
            }
            let others = told.totals.waits.others();
            let labels = wait(&told.name, "", "", "other", "");
            series.push((labels, others.as_secs_f64()));
        }
        let help = "Seconds that sessions waited for locks, by who was in the way; blocker=\"other\" sums the rest.";
        Family::counter("pgjam_lock_wait", help)
            .of(Unit::Seconds)
            .write(to, series)
    }

    fn load(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut series = Vec::new();
        for told in &self.0 {
            for (class, time) in &told.totals.db_time {
                let labels = vec![("server", &*told.name), ("class", &**class)];
                series.push((labels, time.as_secs_f64()));
            }
        }
        let help = "Seconds that sessions were active, by what they did or waited for; its rate is the average of active sessions.";
        Family::counter("pgjam_db_time", help)
            .of(Unit::Seconds)
            .write(to, series)?;
        // How things stand is known while the server is watched, and not for a moment longer.
        let now = |value: fn(&Totals) -> f64| {
            self.each(|told| told.is_watched.then(|| value(&told.totals)))
        };
        Family::gauge(
            "pgjam_active_sessions",
            "Sessions with a statement under way.",
        )
        .write(to, now(|totals| totals.now.active as f64))?;
        Family::gauge("pgjam_blocked_sessions", "Sessions that wait for a lock.")
            .write(to, now(|totals| totals.now.blocked as f64))?;
        let longest = now(|totals| totals.now.longest.unwrap_or_default().as_secs_f64());
        Family::gauge(
            "pgjam_longest_lock_wait",
            "How long the longest wait for a lock has lasted.",
        )
        .of(Unit::Seconds)
        .write(to, longest)
    }

    fn looking(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let is = |truth: bool| if truth { 1.0 } else { 0.0 };
        Family::gauge("pgjam_up", "Whether the server is watched.")
            .write(to, self.each(|told| Some(is(told.is_watched))))?;
        let help = "Whether the server was a standby when it was reached.";
        let in_recovery = |told: &Told| Some(is(told.status.server.as_ref()?.in_recovery));
        Family::gauge("pgjam_in_recovery", help).write(to, self.each(in_recovery))?;
        let help = "When the last tick came, by the clock of the machine that pgjam runs on.";
        let came = |told: &Told| {
            let unix = told
                .look
                .as_ref()?
                .came
                .duration_since(SystemTime::UNIX_EPOCH);
            Some(unix.ok()?.as_secs_f64())
        };
        Family::gauge("pgjam_last_tick_timestamp", help)
            .of(Unit::Seconds)
            .write(to, self.each(came))?;
        let period = |told: &Told| Some(told.look.as_ref()?.snapshot.tick.period.as_secs_f64());
        Family::gauge(
            "pgjam_tick_period",
            "The mean time between ticks, as it is now.",
        )
        .of(Unit::Seconds)
        .write(to, self.each(period))?;
        Family::counter("pgjam_ticks", "Ticks taken.")
            .write(to, self.each(|told| Some(told.totals.ticks as f64)))?;
        Family::counter("pgjam_missed_ticks", "Ticks that were due and not taken.")
            .write(to, self.each(|told| Some(told.totals.missed as f64)))?;
        let help = "Elapsed on the server while it looked: an upper bound of the CPU that watching costs it.";
        Family::counter("pgjam_looking", help)
            .of(Unit::Seconds)
            .write(
                to,
                self.each(|told| Some(told.totals.looking.as_secs_f64())),
            )?;
        Family::counter(
            "pgjam_watched",
            "The time that ticks stand for; gaps are not in it.",
        )
        .of(Unit::Seconds)
        .write(
            to,
            self.each(|told| Some(told.totals.watched.as_secs_f64())),
        )?;
        let help = "How often the server was lost, or could not be reached.";
        Family::counter("pgjam_disconnects", help)
            .write(to, self.each(|told| Some(told.status.disconnects as f64)))?;
        let mut series = Vec::new();
        for told in &self.0 {
            for (kind, count) in &told.status.losses {
                let labels = vec![("server", &*told.name), ("kind", &**kind)];
                series.push((labels, *count as f64));
            }
        }
        Family::counter("pgjam_losses", "What was to be seen and was not, by kind.")
            .write(to, series)
    }

    fn recording(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut series = Vec::new();
        for told in &self.0 {
            let Some(size) = told.status.recording_size else {
                continue;
            };
            for (class, bytes) in [
                ("raw", size.raw),
                ("rollup", size.rollup),
                ("kept", size.kept),
            ] {
                let labels = vec![("server", &*told.name), ("class", class)];
                series.push((labels, bytes as f64));
            }
        }
        let help =
            "How large the recording is, by how long its rows stay; measured every five minutes.";
        Family::gauge("pgjam_recording_size", help)
            .of(Unit::Bytes)
            .write(to, series)?;
        let errors = |told: &Told| Some(told.status.recording_errors as f64);
        Family::counter(
            "pgjam_recording_errors",
            "How often the disk refused the recording.",
        )
        .write(to, self.each(errors))
    }
}

fn wait<'a>(
    server: &'a str,
    class: &'a str,
    table: &'a str,
    blocker: &'a str,
    system: &'a str,
) -> Labels<'a> {
    vec![
        ("server", server),
        ("class", class),
        ("table", table),
        ("blocker", blocker),
        ("blocking_system", system),
    ]
}
