//! What the page's script draws from: figures and words, packed.
//!
//! JSON, compressed (zlib, which browsers unpack themselves) and in base64, so that nothing in it
//! can be taken for markup. What is too much is thinned until it fits.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde::Serialize;

use crate::attribution::finding::{LoadCell, LoadOverTime, Series};
use crate::report::markup::line;
use crate::report::{Replay, Report, svg};
use crate::time::Rfc3339;

/// The replay may take so many bytes of a page.
const ROOM: usize = 2_000_000;
/// So many characters of a name.
const NAME: usize = 90;

#[derive(Serialize)]
struct Payload<'a> {
    load: Load,
    latency: Vec<Line>,
    events: &'a [Mark],
    replay: &'a Replay,
}

/// Average active sessions over time.
#[derive(Serialize)]
struct Load {
    /// Microseconds since 1970 of the first bin's start.
    from: i64,
    /// Milliseconds.
    bin: f64,
    watched: Vec<u8>,
    cells: Vec<Cell>,
}

/// One cell: who, and how much by the bin's number.
#[derive(Serialize)]
struct Cell {
    statement: Option<String>,
    system: Option<String>,
    class: &'static str,
    table: Option<String>,
    blocker: Option<String>,
    cause: String,
    bins: Vec<(u32, f64)>,
}

/// A victim's latency: instants in milliseconds since the first bin, and milliseconds per call.
#[derive(Serialize)]
struct Line {
    label: String,
    points: Vec<(i64, Option<f64>)>,
}

/// An event, in milliseconds since the first bin.
#[derive(Serialize)]
struct Mark {
    at: i64,
    label: String,
    blamed: bool,
}

/// Packs everything that the script needs.
pub(super) fn pack(report: &Report, mut replay: Replay) -> String {
    let diagnosis = &report.diagnosis;
    let over_time = &diagnosis.load_over_time;
    let from = over_time.from.0.as_micros();
    let since = |at: Rfc3339| (at.0.as_micros() - from).div_euclid(1_000);
    let marks = svg::marks(diagnosis).into_iter().map(|mark| Mark {
        at: since(Rfc3339(mark.at)),
        label: line(&mark.label, NAME),
        blamed: mark.blamed,
    });
    let marks: Vec<Mark> = marks.collect();
    let latency = |series: &Series| Line {
        label: line(&series.label, NAME),
        points: series
            .points
            .iter()
            .map(|(at, value)| (since(*at), value.map(|ms| rounded(ms, 1_000.0))))
            .collect(),
    };
    loop {
        let payload = Payload {
            load: load(over_time),
            latency: diagnosis.latency.iter().map(latency).collect(),
            events: &marks,
            replay: &replay,
        };
        let packed = packed(&payload);
        if packed.len() <= ROOM || replay.len() < 2 {
            return packed;
        }
        replay = replay.halved();
    }
}

fn load(load: &LoadOverTime) -> Load {
    let name = |name: &Option<String>| name.as_deref().map(|name| line(name, NAME));
    let cell = |cell: &LoadCell| Cell {
        statement: name(&cell.statement),
        system: name(&cell.system),
        class: cell.class,
        table: name(&cell.table),
        blocker: name(&cell.blocker),
        cause: line(&cell.cause(), NAME),
        bins: (cell.bins.iter())
            .map(|&(bin, sessions)| (bin, rounded(sessions, 1_000.0)))
            .collect(),
    };
    Load {
        from: load.from.0.as_micros(),
        bin: load.bin.as_millis_f64(),
        watched: load
            .watched
            .iter()
            .map(|&watched| u8::from(watched))
            .collect(),
        cells: load.cells.iter().map(cell).collect(),
    }
}

fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

fn packed(payload: &Payload<'_>) -> String {
    // Neither writing into memory nor these types can fail.
    let json = serde_json::to_vec(payload).unwrap_or_default();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::new(6));
    let bytes = zlib.write_all(&json).and_then(|()| zlib.finish());
    STANDARD.encode(bytes.unwrap_or_default())
}
