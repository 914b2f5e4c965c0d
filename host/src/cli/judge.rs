//! `append --judge`: a program judges the append, as a scope bound to `originator` asks for.

use super::failure::Failure;
use super::json::{EventJson, ProposedJson};
use atomic_store_client::Client;
use atomic_store_core::{
    Answer, Append, Event, OriginatorVerdict, Proposal, Question, Reason, ScopeName, Seq,
};
use clap::Args;
use serde::Serialize;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// Bytes of what a program says that are read.
const SAID_MAX: u64 = 64 * 1024;
/// How often to look whether a program has ended.
const LOOK: Duration = Duration::from_millis(2);

/// The options of `append` about judging.
#[derive(Debug, Args)]
#[command(next_help_heading = "Scopes bound to originator")]
pub(crate) struct JudgeArgs {
    /// Run this program to judge the append. It gets {"scope","head","host_ms","past","proposals"} as
    /// JSON on standard input, with `past` as `read --json` prints events; exit code 0 lets the append
    /// pass, 1 refuses it; what it prints is the reason. No shell is involved
    #[arg(long, value_name = "PROGRAM")]
    judge: Option<String>,
    /// An argument for the program; may be given more than once
    #[arg(long, value_name = "ARG", requires = "judge", allow_hyphen_values = true)]
    judge_arg: Vec<String>,
    /// The last event that the program knows already: `past` begins behind it
    #[arg(long, value_name = "N", requires = "judge", default_value_t = 0)]
    known: u64,
}

/// What the program gets.
#[derive(Serialize)]
struct Case<'a> {
    scope: &'a ScopeName,
    head: Seq,
    host_ms: u64,
    past: Vec<EventJson<'a>>,
    proposals: Vec<ProposedJson<'a>>,
}

impl JudgeArgs {
    /// Appends, and judges if a program was named.
    pub(crate) async fn append(&self, client: &Client, append: Append) -> Result<Answer, Failure> {
        let Some(program) = &self.judge else { return Ok(client.append(append).await?) };
        let append = Append { known: Seq(self.known), ..append };
        let proposals = append.proposals.clone();
        let (failed, mut failure) = mpsc::unbounded_channel();
        let judged = client.append_judged(append, |past, question| {
            let case = case(&past, &question, &proposals);
            let failed = failed.clone();
            async move {
                match self.verdict(program, case).await {
                    Ok(verdict) => verdict,
                    Err(why) => {
                        // The append is given up; nobody waits for a verdict.
                        drop(failed.send(why));
                        std::future::pending().await
                    }
                }
            }
        });
        tokio::select! {
            answer = judged => Ok(answer?),
            Some(why) = failure.recv() => Err(why),
        }
    }

    async fn verdict(
        &self,
        program: &str,
        case: Result<Vec<u8>, Failure>,
    ) -> Result<OriginatorVerdict, Failure> {
        let case = case?;
        let unusable = |why: &dyn std::fmt::Display| Failure::usage(format!("{program}: {why}"));
        let mut child = Command::new(program)
            .args(&self.judge_arg)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| unusable(&error))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let running = Running(Arc::new(Mutex::new(child)));
        let child = Arc::clone(&running.0);
        let work = move || {
            if let Some(mut stdin) = stdin {
                // A program that does not read all of it may judge all the same.
                drop(stdin.write_all(&case));
            }
            let mut said = Vec::new();
            if let Some(stdout) = stdout {
                stdout.take(SAID_MAX).read_to_end(&mut said)?;
            }
            loop {
                let status = child.lock().unwrap_or_else(PoisonError::into_inner).try_wait()?;
                match status {
                    Some(status) => return Ok::<_, std::io::Error>((status, said)),
                    None => std::thread::sleep(LOOK),
                }
            }
        };
        let ended = tokio::task::spawn_blocking(work).await;
        let (status, said) = match ended {
            Ok(ended) => ended.map_err(|error| unusable(&error))?,
            Err(error) => return Err(unusable(&error)),
        };
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        match status.code() {
            Some(0) => {
                let reason = (!said.is_empty()).then_some(said);
                Ok(OriginatorVerdict::Pass { reason, meta: None })
            }
            Some(1) => {
                let code = "refused".to_owned();
                let message = if said.is_empty() { format!("{program} refused it") } else { said };
                let reasons = vec![Reason { code, message, data: None, seqs: Vec::new() }];
                Ok(OriginatorVerdict::Fail { reasons, meta: None })
            }
            _ => Err(unusable(&format!("{status}; a verdict is exit code 0 or 1"))),
        }
    }
}

fn case(past: &[Event], asked: &Question, proposals: &[Proposal]) -> Result<Vec<u8>, Failure> {
    let case = Case {
        scope: &asked.scope,
        head: asked.head,
        host_ms: asked.host_ms,
        past: past.iter().map(|event| EventJson(&asked.scope, event)).collect(),
        proposals: proposals.iter().map(ProposedJson).collect(),
    };
    serde_json::to_vec(&case).map_err(|error| Failure::usage(error.to_string()))
}

/// A program that ends when nobody waits for its verdict any more.
struct Running(Arc<Mutex<Child>>);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).kill());
    }
}
