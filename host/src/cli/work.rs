//! Long work on many scopes: a bar for people, and where to go on after an interrupt.

use super::failure::Failure;
use super::{exit, output, text};
use atomic_store_client::ClientError;
use atomic_store_core::{ProofProgress, Seq};
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
    /// The last that was told.
    told: Mutex<ProofProgress>,
}

impl Work {
    /// Work that begins after a scope.
    pub(crate) fn new(what: &str, after: &str) -> Work {
        let told = ProofProgress { through: after.to_owned(), ..ProofProgress::default() };
        Work { bar: bar(what), told: Mutex::new(told) }
    }

    /// Takes a report of progress.
    pub(crate) fn told(&self, told: &ProofProgress) {
        self.bar.set_length(told.of_scopes);
        self.bar.set_position(told.scopes);
        self.bar.set_message(text::counted(told.events, "event"));
        let mut last = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let through = std::mem::take(&mut last.through);
        last.clone_from(told);
        if told.through.is_empty() {
            last.through = through;
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
        let last = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut said = why;
        if last.found > 0 {
            let scopes = text::counted(last.found, "scope");
            said += &format!(
                "\nFound so far: {scopes} with something that does not fit. To see what, begin anew."
            );
        }
        if last.at > Seq::ZERO {
            said += &format!("\nTo go on: {command} --after-event {}", last.at);
        } else if !last.through.is_empty() {
            said += &format!("\nTo go on: {command} --after '{}'", last.through);
        }
        Err(Failure::new(code, said))
    }
}
