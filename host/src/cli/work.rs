//! Long work on many scopes: a bar for people, and where to go on after an interrupt.

use super::failure::Failure;
use super::{exit, output, text};
use atomic_store_client::ClientError;
use atomic_store_core::ProofProgress;
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::{Mutex, PoisonError};

/// A bar over scopes; hidden if nobody looks.
pub(crate) fn bar(what: &str) -> ProgressBar {
    if !output::has_watcher() {
        return ProgressBar::hidden();
    }
    let template = format!("{what} {{bar:40}} {{pos}}/{{len}} scopes, {{msg}} [{{elapsed}}]");
    let style = ProgressStyle::with_template(&template);
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Work on scopes in the order of their names.
pub(crate) struct Work {
    bar: ProgressBar,
    /// All scopes up to this name are done.
    through: Mutex<String>,
}

impl Work {
    /// Work that begins after a scope.
    pub(crate) fn new(what: &str, after: &str) -> Work {
        Work { bar: bar(what), through: Mutex::new(after.to_owned()) }
    }

    /// Takes a report of progress.
    pub(crate) fn told(&self, told: &ProofProgress) {
        self.bar.set_length(told.of_scopes);
        self.bar.set_position(told.scopes);
        self.bar.set_message(text::counted(told.events, "event"));
        if !told.through.is_empty() {
            self.through.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&told.through);
        }
    }

    /// Waits for the end of the work, or for an interrupt or a lost connection; then it says how
    /// `command` goes on.
    pub(crate) async fn run<T>(
        &self,
        command: &str,
        work: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, Failure> {
        let (code, why) = tokio::select! {
            end = work => match end {
                Ok(done) => {
                    self.bar.finish_and_clear();
                    return Ok(done);
                }
                Err(error) => {
                    let failure = Failure::from(error);
                    (failure.code, failure.message)
                }
            },
            _ = tokio::signal::ctrl_c() => (exit::TRY_AGAIN, "interrupted".to_owned()),
        };
        self.bar.finish_and_clear();
        let through = self.through.lock().unwrap_or_else(PoisonError::into_inner);
        if through.is_empty() {
            return Err(Failure::new(code, why));
        }
        Err(Failure::new(code, format!("{why}\nTo go on: {command} --after '{through}'")))
    }
}
