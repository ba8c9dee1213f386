//! `pgjam doctor`: what this role may see on this server.

use crate::cli::Done;
use crate::cli::args::ConnectArgs;
use crate::cli::exit::Failure;
use crate::cli::screen::{Screen, safe};
use crate::cli::servers::Chosen;
use crate::cli::watch::block_on;
use crate::doctor::Checkup;
use crate::pg::Version;

/// Prints the preflight.
pub(super) fn run(args: &ConnectArgs, screen: &Screen) -> Done {
    let target = Chosen::of(args)?.target(screen)?;
    let (address, checkup) = block_on(async {
        let session = target.connect().await?;
        let checkup = Checkup::run(session.client()).await?;
        let address = session.address().to_owned();
        session.close().await;
        Ok((address, checkup))
    })?;
    screen.answer(&safe(&page(&address, &checkup)), None)?;
    match checkup.is_fatal() {
        false => Ok(()),
        true if checkup.version < Version::OLDEST => Err(Failure::TooOld(format!(
            "{address} is too old to be watched"
        ))),
        true => Err(Failure::Missing(format!(
            "{address} cannot be watched by this role yet"
        ))),
    }
}

/// Words the preflight.
fn page(address: &str, checkup: &Checkup) -> String {
    let mut page = format!("{address}: PostgreSQL {}", checkup.version);
    if let Some(facts) = &checkup.facts {
        let standby = if facts.in_recovery { ", a standby" } else { "" };
        page.extend([standby, ", as role ", &facts.role, "\n"]);
    } else {
        page.push('\n');
    }
    if checkup.missing.is_empty() {
        page += "Nothing is missing.\n";
    }
    for missing in &checkup.missing {
        let sign = if missing.fatal {
            "needed"
        } else {
            "better with"
        };
        page.extend([
            "\n",
            sign,
            ": ",
            &missing.what,
            "\n  ",
            &missing.consequence,
            "\n",
        ]);
        page.extend(
            missing
                .remedy
                .iter()
                .flat_map(|remedy| ["    ", remedy, "\n"]),
        );
    }
    page
}
