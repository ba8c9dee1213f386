//! HTTP while the daemon runs: what SIGHUP changes of it.
//!
//! The files that `[http]` names are read again with it, as a token that was changed; who is
//! connected then connects anew. What cannot be used changes nothing.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use super::http::{Http, HttpError, Listening, Settings};
use super::live::Live;

/// HTTP as it is spoken now, if it is.
pub(super) struct Answering {
    live: Arc<Live>,
    settings: Settings,
    spoken: Option<(Listening, JoinHandle<()>)>,
}

impl Answering {
    /// Begins to answer, where the settings ask for it.
    pub(super) async fn begin(settings: &Settings, live: Arc<Live>) -> Result<Self, HttpError> {
        let mut answering = Self {
            live,
            settings: settings.clone(),
            spoken: None,
        };
        if settings.listen.is_some() {
            let http = Http::bind(settings, Arc::clone(&answering.live)).await?;
            answering.speak(http);
        }
        Ok(answering)
    }

    /// Goes on with these settings, and with their files as they are now.
    pub(super) async fn change(&mut self, settings: &Settings) {
        let again = match (&self.spoken, settings.listen) {
            (None, None) => return,
            (Some((listening, _)), Some(address)) if self.settings.listen == Some(address) => {
                Http::on(listening.clone(), settings, Arc::clone(&self.live))
            }
            (Some(_), Some(_)) => Http::bind(settings, Arc::clone(&self.live)).await,
            (None, Some(_)) | (Some(_), None) => {
                warn!("http.listen: whether HTTP is spoken changes with the next start only");
                return;
            }
        };
        match again {
            Ok(http) => {
                self.end();
                self.settings = settings.clone();
                self.speak(http);
            }
            Err(failure) => error!("HTTP stays as it was, since {failure}"),
        }
    }

    /// Answers no more.
    pub(super) fn end(&mut self) {
        if let Some((_, task)) = self.spoken.take() {
            task.abort();
        }
    }

    fn speak(&mut self, http: Http) {
        info!("answers on {}", http.url());
        let listening = http.listening();
        let task = tokio::spawn(http.serve(std::future::pending()));
        self.spoken = Some((listening, task));
    }
}
