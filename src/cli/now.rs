//! `pgjam now`: who waits for whom, this instant.

use crate::cli::Done;
use crate::cli::args::{GraphFormat, NowArgs};
use crate::cli::exit::Failure;
use crate::cli::screen::Screen;
use crate::cli::servers::Chosen;
use crate::cli::watch::{block_on, rights};
use crate::connect::Target;
use crate::daemon::watch::{LAST_NAMES, reach};
use crate::graph::WaitGraph;
use crate::graph::view::{GraphView, Vocabulary};
use crate::names::{Names, Statements};
use crate::report::{Rights, dot, first_screen, json, svg};
use crate::sample::live::{Options, Source};
use crate::system::Naming;

/// Looks once and shows the graph.
pub(super) fn run(args: &NowArgs, screen: &Screen) -> Done {
    let chosen = Chosen::of(&args.connect)?;
    let naming = chosen.naming(&args.naming);
    let (view, rights) = block_on(look(chosen.target(screen)?, &naming))?;
    let text = drawn(&view, rights.as_ref(), args.format, screen);
    screen.answer(&text, args.output.as_deref())
}

/// Draws a graph in the form that was asked for.
pub(super) fn drawn(
    view: &GraphView,
    rights: Option<&Rights>,
    format: GraphFormat,
    screen: &Screen,
) -> String {
    let text = match format {
        GraphFormat::Text => first_screen::with_tree(view, rights, screen.style()),
        GraphFormat::Json => json::render_graph(view),
        GraphFormat::Dot => dot::render(view),
        GraphFormat::Svg => svg::graph(view),
    };
    if text.ends_with('\n') {
        text
    } else {
        text + "\n"
    }
}

/// Gives the graph, and what this role may do to the sessions of others.
async fn look(target: Target, naming: &Naming) -> Result<(GraphView, Option<Rights>), Failure> {
    let reached = reach(target).await?;
    let tag_keys = naming.tags().iter().map(ToString::to_string).collect();
    let options = Options {
        tag_keys,
        target: Some(reached.target.clone()),
        ..Options::default()
    };
    let mut source = Source::new(reached.session.client(), options).await?;
    let snapshot = source.tick().await?;
    let statements = Statements::of(&source.learned());
    let mut names = source.names(&snapshot).await;
    let owed = source.owed();
    drop(source);
    let rights = rights(&reached.checkup);
    reached.session.close().await;
    let owed = owed.names(LAST_NAMES).await;
    names.extend(owed.unwrap_or_default());
    let names = Names::of(&names);
    let words = Vocabulary {
        naming,
        names: &names,
        statements: &statements,
    };
    let view = WaitGraph::of(&snapshot).view(words);
    Ok((view, rights))
}
