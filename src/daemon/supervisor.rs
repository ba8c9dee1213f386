//! Several servers from one process: who is attended, what they are told, and how it ends.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Interval;
use tracing::{error, info, warn};

use super::answering::Answering;
use super::attendant::{Attendant, News};
use super::config::{Config, Settings};
use super::http::{self, HttpError};
use super::live::{Live, ServerLive};
use super::service_manager;
use super::watch::WatchError;

/// How long the end may take: less than the two seconds that are promised.
const ENDING: Duration = Duration::from_millis(1_900);
/// How soon an attendant that failed within pgjam is sent again.
const AFTER_A_DEFECT: Duration = Duration::from_secs(5);
/// How long an attendant has for its first sign of life.
const FIRST_SIGN: Duration = Duration::from_mins(5);

/// What is to be watched.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// One server, by whoever waits for the outcome: what somebody has to mend ends it.
    One(String, Box<Settings>, Box<http::Settings>),
    /// Those of a configuration, which is read again on SIGHUP: what somebody has to mend is
    /// told and tried again, since the other servers go on.
    Configured(Box<Config>),
}

impl Plan {
    /// Gives where HTTP is spoken, and to whom.
    const fn http(&self) -> &http::Settings {
        match self {
            Self::One(_, _, http) => http,
            Self::Configured(config) => &config.http,
        }
    }
}

/// Why the daemon ended.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Its one server cannot be watched.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// HTTP cannot be spoken as the configuration says.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The machine gives no signals.
    #[error("cannot wait for signals: {0}")]
    Signals(#[from] std::io::Error),
}

/// Watches until SIGTERM or SIGINT.
///
/// # Errors
///
/// Where the one server of [`Plan::One`] needs somebody to mend something; where HTTP cannot be
/// spoken as the configuration says; where the machine gives no signals.
pub async fn run(plan: Plan) -> Result<(), DaemonError> {
    let mut signals = Signals::catch(matches!(plan, Plan::Configured(_)))?;
    let mut watchdog = service_manager::watchdog().map(tokio::time::interval);
    let live: Arc<Live> = Arc::default();
    let mut http = Answering::begin(plan.http(), Arc::clone(&live)).await?;
    let mut supervisor = Supervisor::new(plan, live);
    let ended = loop {
        tokio::select! {
            () = stop(&mut signals.terminate, &mut signals.interrupt) => break Ok(()),
            () = reload(&mut signals.reload) => supervisor.reload(&mut http).await,
            Some((name, news)) = supervisor.told.recv() => supervisor.hear(&name, news),
            Some(ended) = supervisor.tasks.join_next_with_id() => {
                if let Err(failure) = supervisor.left(ended) {
                    break Err(failure);
                }
            }
            () = due(&mut watchdog) => supervisor.sign_of_life(),
        }
    };
    // Nobody is told any more that an event will be recorded.
    http.end();
    let last = supervisor.end().await;
    Ok(ended.and(last)?)
}

/// The signals that it answers.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Only where there is something to read again; elsewhere SIGHUP ends it, as always.
    reload: Option<Signal>,
}

impl Signals {
    fn catch(reloads: bool) -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reload: reloads.then(|| signal(SignalKind::hangup())).transpose()?,
        })
    }
}

async fn stop(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

async fn reload(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

async fn due(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// A server that is attended.
struct Attended {
    settings: watch::Sender<Settings>,
    stop: watch::Sender<bool>,
    live: Arc<ServerLive>,
    task: Id,
    /// What was last heard of it.
    news: Option<News>,
}

struct Supervisor {
    /// The configuration that holds; none for one server.
    config: Option<Box<Config>>,
    /// What is known of the servers, for whoever asks.
    live: Arc<Live>,
    /// Whether anybody may ask.
    has_readers: bool,
    servers: BTreeMap<Arc<str>, Attended>,
    tasks: JoinSet<Result<(), WatchError>>,
    /// Whom each task attends, those included that are about to end.
    names: HashMap<Id, Arc<str>>,
    tell: mpsc::UnboundedSender<(Arc<str>, News)>,
    told: mpsc::UnboundedReceiver<(Arc<str>, News)>,
    is_ready: bool,
}

impl Supervisor {
    /// Sends out an attendant for each server.
    fn new(plan: Plan, live: Arc<Live>) -> Self {
        let has_readers = plan.http().listen.is_some();
        let (config, servers) = match plan {
            Plan::One(name, settings, _) => (None, BTreeMap::from([(name, *settings)])),
            Plan::Configured(config) => (Some(config.clone()), config.servers),
        };
        let (tell, told) = mpsc::unbounded_channel();
        let mut supervisor = Self {
            has_readers,
            live,
            config,
            servers: BTreeMap::new(),
            tasks: JoinSet::new(),
            names: HashMap::new(),
            tell,
            told,
            is_ready: false,
        };
        for (name, settings) in servers {
            supervisor.attend(name.into(), settings, Duration::ZERO);
        }
        supervisor
    }

    /// Sends out an attendant, after a while.
    fn attend(&mut self, name: Arc<str>, settings: Settings, after: Duration) {
        let live = self
            .live
            .watch(&name, settings.system_by.clone(), &settings.to);
        live.back_within(FIRST_SIGN + after);
        let (settings, told_settings) = watch::channel(settings);
        let (stop, told_stop) = watch::channel(false);
        let attendant = Attendant {
            name: Arc::clone(&name),
            settings: told_settings,
            stop: told_stop,
            news: self.tell.clone(),
            live: Arc::clone(&live),
            has_readers: self.has_readers,
            waits_for_mending: self.config.is_some(),
        };
        let attend = async move {
            tokio::time::sleep(after).await;
            attendant.run().await
        };
        let task = self.tasks.spawn(attend).id();
        self.names.insert(task, Arc::clone(&name));
        let attended = Attended {
            settings,
            stop,
            live,
            task,
            news: None,
        };
        self.servers.insert(name, attended);
    }

    /// Reads the configuration again; one with a mistake changes nothing.
    async fn reload(&mut self, http: &mut Answering) {
        let Some(old) = &self.config else { return };
        service_manager::reloading();
        match Config::read(&old.file) {
            Ok(new) => {
                http.change(&new.http).await;
                self.change(new);
            }
            Err(mistakes) => error!("the configuration stays as it was, since\n{mistakes}"),
        }
        if self.is_ready {
            service_manager::ready();
        } else {
            // It may have been waiting for one that is gone now.
            self.tell_ready();
        }
        self.tell_status();
    }

    /// Makes the servers those of a new configuration; who is in both as before notices nothing.
    fn change(&mut self, new: Config) {
        let file = new.file.display();
        for notice in &new.notices {
            warn!("{notice}");
        }
        if let Some(old) = &self.config
            && old.log != new.log
        {
            warn!("{file}: what changed in [log] holds from the next start on");
        }
        let gone = |name: &&Arc<str>| !new.servers.contains_key(&***name);
        let gone: Vec<Arc<str>> = self.servers.keys().filter(gone).cloned().collect();
        for name in &gone {
            info!(server = &**name, "is no longer watched");
            self.live.forget(name);
            if let Some(attended) = self.servers.remove(name) {
                let _ = attended.stop.send(true);
            }
        }
        let (mut changed, mut begun) = (0, 0);
        for (name, settings) in new.servers.clone() {
            if let Some(attended) = self.servers.get(&*name) {
                let naming = settings.system_by.clone();
                self.live.watch(&name, naming, &settings.to);
                let differ = |known: &mut Settings| {
                    let differ = *known != settings;
                    *known = settings;
                    differ
                };
                changed += usize::from(attended.settings.send_if_modified(differ));
            } else {
                begun += 1;
                self.attend(name.into(), settings, Duration::ZERO);
            }
        }
        let (all, ended) = (self.servers.len(), gone.len());
        info!("{file} is read: {all} servers, {begun} new, {changed} changed, {ended} gone");
        self.config = Some(Box::new(new));
    }

    /// Takes note of how it stands with a server.
    fn hear(&mut self, name: &str, news: News) {
        let Some(attended) = self.servers.get_mut(name) else {
            return;
        };
        attended.news = Some(news);
        self.tell_ready();
        self.tell_status();
    }

    /// Tells, once, that every server was heard of: one that cannot be watched yet must not keep
    /// the others from being ready.
    fn tell_ready(&mut self) {
        if !self.is_ready && self.servers.values().all(|server| server.news.is_some()) {
            self.is_ready = true;
            service_manager::ready();
        }
    }

    fn tell_status(&self) {
        service_manager::status(&status(&self.servers));
    }

    /// Tells the service manager that all is well, only while every attendant is at work.
    fn sign_of_life(&self) {
        let stuck = self
            .servers
            .iter()
            .find(|(_, server)| server.live.is_stuck());
        match stuck {
            None => service_manager::alive(),
            Some((name, _)) => error!(server = &**name, "its attendant is stuck"),
        }
    }

    /// Sees to it that a server is attended again whose attendant has left, and says why it did.
    fn left(
        &mut self,
        ended: Result<(Id, Result<(), WatchError>), JoinError>,
    ) -> Result<(), WatchError> {
        let (task, failure) = match ended {
            Ok((task, Ok(()))) => (task, None),
            Ok((_, Err(failure))) if self.config.is_none() => return Err(failure),
            Ok((task, Err(failure))) => (task, Some(failure.to_string())),
            Err(defect) => (defect.id(), Some(format!("a defect in pgjam: {defect}"))),
        };
        let Some(name) = self.names.remove(&task) else {
            return Ok(());
        };
        if let Some(failure) = failure {
            error!(server = &*name, "{failure}");
        }
        if let Some(attended) = self.servers.get(&name).filter(|server| server.task == task) {
            let settings = attended.settings.borrow().clone();
            self.attend(name, settings, AFTER_A_DEFECT);
        }
        Ok(())
    }

    /// Lets every attendant end, and waits for them no longer than was promised.
    async fn end(&mut self) -> Result<(), WatchError> {
        service_manager::stopping();
        info!("stops");
        for attended in self.servers.values() {
            let _ = attended.stop.send(true);
        }
        let mut outcome = Ok(());
        let all = async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                let Ok((task, ended)) = ended else { continue };
                let name = self.names.remove(&task);
                if let Err(failure) = ended {
                    let name = name.as_deref().unwrap_or_default();
                    error!(server = name, "{failure}");
                    outcome = Err(failure);
                }
            }
        };
        if tokio::time::timeout(ENDING, all).await.is_err() {
            let late: Vec<&str> = self.names.values().map(|name| &**name).collect();
            error!(
                "{} did not end in time; what was written until then is kept",
                late.join(", ")
            );
        }
        outcome
    }
}

/// Says in one line how it stands, for `systemctl status`.
fn status(servers: &BTreeMap<Arc<str>, Attended>) -> String {
    let watched = servers
        .values()
        .filter(|server| matches!(server.news, Some(News::Watching)));
    let mut line = format!("watching {} of {} servers", watched.count(), servers.len());
    for (name, server) in servers {
        if let Some(News::Away(why)) = &server.news {
            let why: String = why
                .lines()
                .next()
                .unwrap_or_default()
                .chars()
                .take(120)
                .collect();
            line.extend(["; ", name, ": ", &why]);
        }
    }
    line
}
