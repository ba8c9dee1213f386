//! `pgjam diagnose` and `pgjam report`: from a server, or from a recording, to the verdict.

use std::path::Path;
use std::sync::Arc;

use crate::attribution;
use crate::cli::Done;
use crate::cli::args::{DiagnoseArgs, Format, OutputArgs, ReportArgs};
use crate::cli::baseline;
use crate::cli::exit::Failure;
use crate::cli::screen::Screen;
use crate::cli::servers::{self, Chosen};
use crate::cli::standing::{AT_MOST, Conclusion, SoFar};
use crate::cli::watch::{Watched, block_on, ctrl_c, declared, folder, tell_recording};
use crate::daemon::watch::reach;
use crate::names::Statements;
use crate::recording::Recording;
use crate::report::{Replay, Report, html, json, svg, text};
use crate::system::Naming;

/// Watches a server and says what it saw.
pub(super) fn run(args: &DiagnoseArgs, screen: &Screen) -> Done {
    args.log.check()?;
    let chosen = Chosen::of(&args.connect)?;
    let naming = chosen.naming(&args.naming);
    let target = chosen.target(screen)?;
    let folder = block_on(async {
        let reached = reach(target).await?;
        for missing in &reached.checkup.missing {
            screen.note(&format!("note: {}: {}", missing.what, missing.consequence));
        }
        let folder = folder(&args.watch)?;
        let so_far = SoFar::default();
        let watched = Watched {
            duration: args.duration.unwrap_or(AT_MOST),
            hz: args.watch.hz,
            naming: &naming,
            events: &args.events,
            so_far: Arc::clone(&so_far),
        };
        let conclusion = Conclusion {
            naming: naming.clone(),
            baseline: args.baseline.clone(),
            settings: chosen.settings.clone(),
            silence: screen.silent(),
        };
        let enough = async {
            let stands = conclusion.stands(&folder, &so_far);
            tokio::select! {
                () = ctrl_c() => {}
                () = stands, if args.duration.is_none() => {
                    screen.note("the verdict stands; --duration watches on all the same");
                }
            }
        };
        Box::pin(watched.run(&folder, reached, screen, enough)).await?;
        Ok(folder)
    })?;
    let mut recording = Recording::open(&folder)?;
    baseline::precede(
        &mut recording,
        &args.baseline,
        chosen.settings.as_ref(),
        screen,
    )?;
    let mut diagnosis = attribution::diagnose(&recording, &naming);
    args.log
        .lay_if_possible(&mut diagnosis, &recording, &naming, screen);
    let report = Report::new(diagnosis);
    // First, since a file that cannot be written must not hide where the rest is.
    tell_recording(screen, &folder);
    deliver(
        &report,
        || replay(&recording, &naming),
        &args.output,
        screen,
    )
}

/// Says what a recording holds.
pub(super) fn report(args: &ReportArgs, screen: &Screen) -> Done {
    let (folder, settings) = servers::recording(&args.recording, args.config.as_deref())?;
    let mut recording = args.window.read(&folder, screen)?;
    recording.declared.extend(args.events.iter().map(declared));
    let naming = args.naming.system_by.clone();
    let naming = naming.or(settings.map(|settings| settings.system_by));
    let naming = naming.unwrap_or_default();
    let mut diagnosis = attribution::diagnose(&recording, &naming);
    args.log.lay(&mut diagnosis, &recording, &naming)?;
    let report = Report::new(diagnosis);
    deliver(
        &report,
        || replay(&recording, &naming),
        &args.output,
        screen,
    )
}

/// Draws the conclusions and words them.
pub(super) fn conclude(recording: &Recording, naming: &Naming) -> Report {
    Report::new(attribution::diagnose(recording, naming))
}

/// Gives the graphs of a recording, to be stepped through.
pub(super) fn replay(recording: &Recording, naming: &Naming) -> Replay {
    let statements = Statements::of(&recording.statements);
    Replay::of(attribution::moments(recording, naming, &statements))
}

/// Hands the report out in every form that was asked for, the answer itself first.
pub(super) fn deliver(
    report: &Report,
    replay: impl FnOnce() -> Replay,
    output: &OutputArgs,
    screen: &Screen,
) -> Done {
    let answer = match output.format {
        Format::Text => text::render(report, screen.style()),
        Format::Json => json::render(report),
    };
    screen.answer(&answer, output.output.as_deref())?;
    if let Some(file) = &output.html {
        screen.write(file, &html::render(report, replay()))?;
        if output.open {
            show(file, screen);
        }
    }
    if let Some(folder) = &output.svg {
        pictures(report, folder, screen)?;
    }
    Ok(())
}

/// Opens a page in the browser of who sits here; where nobody does, says how to see it.
fn show(file: &Path, screen: &Screen) {
    // Where there is no display a browser would be one for the terminal, or none.
    let has_display = !cfg!(target_os = "linux")
        || ["DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"]
            .iter()
            .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    let opened = has_display && open::that_detached(file).is_ok();
    if !opened {
        let file = file.display();
        screen.note(&format!(
            "no browser could be opened here: copy {file} to where one is"
        ));
    }
}

fn pictures(report: &Report, folder: &Path, screen: &Screen) -> Done {
    std::fs::create_dir_all(folder)
        .map_err(Failure::io(format!("cannot make {}", folder.display())))?;
    let diagnosis = &report.diagnosis;
    screen.write(&folder.join("latency.svg"), &svg::latency(report))?;
    screen.write(&folder.join("load.svg"), &svg::load(report))?;
    if let Some(split) = diagnosis.splits.first() {
        screen.write(&folder.join("growth.svg"), &svg::waterfall(report, split))?;
    }
    let graph = diagnosis.worst.as_ref().unwrap_or(&diagnosis.last);
    screen.write(&folder.join("graph.svg"), &svg::graph(graph))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::Cli;
    use crate::report::fixture::quiet;

    #[test]
    fn a_json_answer_ends_with_one_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("answer.json");
        let output = OutputArgs {
            format: Format::Json,
            output: Some(file.clone()),
            html: None,
            open: false,
            svg: None,
        };
        let screen = Screen::of(&Cli::parse_from(["pgjam", "--quiet", "doctor"]));
        deliver(&Report::new(quiet()), Replay::default, &output, &screen).unwrap();
        let answer = std::fs::read_to_string(file).unwrap();
        assert!(answer.ends_with("}\n") && !answer.ends_with("\n\n"));
    }
}
