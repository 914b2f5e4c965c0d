//! `validator dev`: builds whenever a file changes, and shows what the rules say to a file of proposals.

use super::build;
use super::marker::Project;
use super::verdicts::{self, Change, Verdict};
use super::watch::Stamps;
use crate::cli::args::Global;
use crate::cli::connect::{self, Connection, Missing};
use crate::cli::failure::Failure;
use crate::cli::output::{Out, note};
use crate::cli::{admission, input, text, what_if};
use atomic_store_core::protocol::Admitted;
use atomic_store_core::{ScopeName, ScopePattern, ValidatorRef};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often to look for changes.
const LOOK: Duration = Duration::from_millis(300);
/// Characters of a proposal in the table.
const PROPOSAL_CHARS: usize = 80;

/// Show verdicts of a file of proposals while you change the rules
///
/// Builds the project, loads and binds it, and asks what would become of each line of the file, one after
/// the other; nothing of that is stored. Does it again whenever a file of the project or the proposals
/// change, and marks the verdicts that are others than before. Ctrl-C ends it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store validator dev --proposals proposals.ndjson
  atomic-store validator dev ./seats --proposals bids.ndjson --once --json
  atomic-store --data ./store validator dev --proposals bids.ndjson --bind 'try/*' --scope try/1

Each line of the file is one append, as `what-if` reads it: {\"kind\":.., \"payload\":.., \"keys\":[..]}, \
or an array of several. Without --socket, --tcp or --data the store is a temporary one, whatever the \
environment says. With one of them the binding stays when the command ends: do not name a pattern whose \
scopes others append to. \
With --once: the exit codes of `validator build`, but that findings of the check are only shown; \
whatever the verdicts are, it is 0.")]
pub(crate) struct Dev {
    /// The project's folder
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// The file of proposals, one append a line
    #[arg(long, value_name = "FILE")]
    proposals: PathBuf,
    /// Which scopes it is bound to [default: dev/NAME]
    #[arg(long, value_name = "PATTERN")]
    bind: Option<ScopePattern>,
    /// The scope that the proposals are judged in [default: the pattern, with `dev` in place of *]
    #[arg(long, value_parser = input::scope)]
    scope: Option<ScopeName>,
    /// Build and show once, then end
    #[arg(long)]
    once: bool,
}

/// One way from the sources to verdicts.
struct Round<'a> {
    project: Arc<Project>,
    connection: &'a Connection,
    proposals: &'a Path,
    pattern: ScopePattern,
    scope: ScopeName,
}

/// Runs the command.
pub(crate) async fn run(global: &Global, args: Dev, out: &mut Out) -> Result<(), Failure> {
    let project = Arc::new(Project::open(&args.dir)?);
    let (pattern, scope) = place(&args, &project.marker.name)?;
    // Not what the environment says: whoever tries rules out shall not bind them in a store that is used.
    // The directory goes when the store in it is closed.
    let (connection, _directory) = match global.named() > 0 {
        true => (connect::connect(global, Missing::Create).await?, None),
        false => {
            let (connection, directory) = connect::temporary().await?;
            (connection, Some(directory))
        }
    };
    let proposals = args.proposals.as_path();
    let round = Round { project, connection: &connection, proposals, pattern, scope };
    let done = match args.once {
        true => round.run(out).await,
        false => {
            tokio::select! {
                done = watch(round, &args.dir, out) => done,
                signal = tokio::signal::ctrl_c() => {
                    signal.map_err(|error| Failure::file("signals cannot be received", &error))
                }
            }
        }
    };
    done.and(connection.close().await)
}

/// Which scopes are meant, and which of them is asked.
fn place(args: &Dev, name: &str) -> Result<(ScopePattern, ScopeName), Failure> {
    let pattern = match &args.bind {
        Some(pattern) => pattern.clone(),
        None => {
            format!("dev/{name}").parse().map_err(|error| Failure::usage(format!("{error}")))?
        }
    };
    let scope = match &args.scope {
        Some(scope) => scope.clone(),
        None => {
            let name = pattern.to_string().replace('*', "dev");
            input::scope(&name).map_err(Failure::usage)?
        }
    };
    match pattern.matches(&scope) {
        true => Ok((pattern, scope)),
        false => Err(Failure::usage(format!("the scope {scope} is none of {pattern}"))),
    }
}

/// Round after round, until somebody ends it. What fails is told, and may be mended.
async fn watch(mut round: Round<'_>, dir: &Path, out: &mut Out) -> Result<(), Failure> {
    loop {
        let stamps = Stamps::of(dir, round.proposals)?;
        if let Err(failure) = round.run(out).await {
            note(&failure.to_string());
        }
        out.flush()?;
        note("watching; Ctrl-C ends it");
        while Stamps::of(dir, round.proposals)? == stamps {
            tokio::time::sleep(LOOK).await;
        }
        match Project::open(dir) {
            Ok(project) => round.project = Arc::new(project),
            Err(failure) => note(&failure.to_string()),
        }
    }
}

impl Round<'_> {
    /// Builds, loads, binds, asks, and shows.
    async fn run(&self, out: &mut Out) -> Result<(), Failure> {
        let client = &self.connection.client;
        let appends = input::file(self.proposals)?;
        let batches = what_if::batches(&appends)?;
        let component = build::built(&self.project).await?;
        let options = build::options(&self.project);
        let admitted = client.admit_validator(&component, &options).await?;
        // By digest: versions stay the same from one try to the next.
        let which = ValidatorRef::Digest(admitted.info.digest.to_string());
        client.bind(self.pattern.clone(), which, self.project.config()).await?;
        let steps = client.what_if(&self.scope, batches, None).await?;
        let lines = String::from_utf8_lossy(&appends);
        let lines = lines.lines().filter(|line| !line.trim().is_empty());
        let verdicts: Vec<_> = lines
            .zip(&steps)
            .map(|(line, step)| Verdict {
                append: line.trim().to_owned(),
                verdict: what_if::outcome(&step.outcome),
            })
            .collect();
        let kept = self.project.dir.join("build/verdicts.json");
        let before = verdicts::last(&kept);
        let changes = verdicts::changes(before.as_deref(), &verdicts);
        show(&admitted, &verdicts, &changes, out)?;
        verdicts::keep(&kept, &verdicts)
    }
}

fn show(
    admitted: &Admitted,
    verdicts: &[Verdict],
    changes: &[Change<'_>],
    out: &mut Out,
) -> Result<(), Failure> {
    let info = &admitted.info;
    let (name, version) = (&info.description.name, &info.description.version);
    let changed = changes.iter().filter(|change| **change != Change::None).count();
    if out.json() {
        let shown = verdicts.iter().zip(changes).map(|(verdict, change)| {
            let mut one = json!({
                "append": verdict.append,
                "verdict": verdict.verdict,
                "changed": *change != Change::None,
            });
            if let Change::Was(was) = change {
                one["was"] = json!(was);
            }
            one
        });
        return out.document(&json!({
            "name": name,
            "version": version,
            "digest": info.digest.to_string(),
            "bytes": info.bytes,
            "failed_checks": admission::failed(admitted),
            "changed": changed,
            "verdicts": shown.collect::<Vec<_>>(),
        }));
    }
    let bytes = text::counted(info.bytes, "byte");
    out.line(&format!("{name}@{version} {} ({bytes})", info.digest.short()))?;
    if admission::failed(admitted) > 0 {
        out.line("its self-test found something:")?;
        admission::table(admitted, true, out)?;
    }
    let rows = verdicts.iter().zip(changes).enumerate().map(|(number, (verdict, change))| {
        vec![
            (number + 1).to_string(),
            text::short(&verdict.append, PROPOSAL_CHARS).into_owned(),
            verdict.verdict.clone(),
            match change {
                Change::None => String::new(),
                Change::New => "new".to_owned(),
                Change::Was(was) => format!("was: {was}"),
            },
        ]
    });
    out.table(&["append", "proposal", "verdict", "since the last build"], rows.collect())?;
    out.line(&format!("{changed} of {} changed", text::counted(verdicts.len() as u64, "verdict")))
}
