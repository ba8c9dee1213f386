//! Which server a command is about: one of the configuration by its name, or by how it is reached.

use std::path::{Path, PathBuf};

use crate::cli::args::{ConnectArgs, NamingArgs};
use crate::cli::exit::Failure;
use crate::cli::screen::Screen;
use crate::connect::{Environment, Target};
use crate::daemon::config::{Config, ConfigError, Dsn, Settings};
use crate::system::Naming;

/// The server that was chosen.
#[derive(Debug)]
pub(super) struct Chosen {
    dsn: Option<Dsn>,
    /// What the configuration says of it, where it was named.
    pub(super) settings: Option<Settings>,
}

impl Chosen {
    /// Takes what was typed; a name is looked up in the configuration.
    pub(super) fn of(args: &ConnectArgs) -> Result<Self, Failure> {
        // A name has no such character in it.
        let is_dsn = |server: &str| server.contains(['=', ':', '/']);
        match (&args.server, &args.dsn) {
            (Some(name), _) if !is_dsn(name) => {
                let settings = named(name, args.config.as_deref())?;
                Ok(Self {
                    dsn: settings.dsn.clone(),
                    settings: Some(settings),
                })
            }
            (server, dsn) => Ok(Self {
                dsn: server.as_ref().or(dsn.as_ref()).map(Dsn::new),
                settings: None,
            }),
        }
    }

    /// Gives how its systems are named: as was typed, else as the configuration says.
    pub(super) fn naming(&self, typed: &NamingArgs) -> Naming {
        let configured = self.settings.as_ref().map(|settings| &settings.system_by);
        typed
            .system_by
            .as_ref()
            .or(configured)
            .cloned()
            .unwrap_or_default()
    }

    /// Finds out how it is reached, and tells what was ignored on the way.
    pub(super) fn target(&self, screen: &Screen) -> Result<Target, Failure> {
        let dsn = self.dsn.as_ref().map(Dsn::as_str);
        let target = Target::resolve(dsn, &Environment::from_process())?;
        for notice in target.notices() {
            screen.note(notice);
        }
        Ok(target)
    }
}

/// Looks a name up in the configuration.
fn named(name: &str, config: Option<&Path>) -> Result<Settings, Failure> {
    let file = config.map_or_else(Config::find, |file| Ok(file.to_owned()))?;
    Ok(Config::read(&file)?.server(name)?.clone())
}

/// Finds the recording that was meant, by its folder or by the name of its server; gives what the
/// configuration says of that.
pub(super) fn recording(
    typed: &Path,
    config: Option<&Path>,
) -> Result<(PathBuf, Option<Settings>), Failure> {
    let name = typed
        .to_str()
        .filter(|name| !name.contains('/') && !typed.exists());
    let Some(name) = name else {
        return Ok((typed.to_owned(), None));
    };
    match named(name, config) {
        Ok(settings) => Ok((settings.to.clone(), Some(settings))),
        // Nobody spoke of a configuration: it was meant as a folder, and is none.
        Err(Failure::Config(ConfigError::Nowhere(_))) => Ok((typed.to_owned(), None)),
        Err(failure) => Err(failure),
    }
}
