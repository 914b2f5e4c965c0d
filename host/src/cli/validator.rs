//! `validator list | show | bind | unbind`; the others have files of their own.

use super::admission::{self, Check, Keygen, Load, Pull, Sign};
use super::args::Global;
use super::connect::{Connection, Missing, connect};
use super::failure::Failure;
use super::json::{ListJson, Shown};
use super::json_admission::AdmittedJson;
use super::output::Out;
use super::{backtest, bundle, input, project, text, upgrade};
use atomic_store_core::{Binding, RuleInfo, ScopePattern, Share, ValidatorRef};
use clap::{Args, Subcommand};
use serde_json::json;

/// Load validators and say which scopes they judge
#[derive(Debug, Args)]
pub(crate) struct ValidatorArgs {
    #[command(subcommand)]
    command: ValidatorCommand,
}

#[derive(Debug, Subcommand)]
enum ValidatorCommand {
    New(project::New),
    Build(project::Build),
    Dev(project::Dev),
    Load(Load),
    Check(Check),
    Pull(Pull),
    Keygen(Keygen),
    Sign(Sign),
    /// List loaded validators and their bindings
    #[command(after_help = "Examples:\n  atomic-store validator list")]
    List,
    Show(Show),
    Bind(Bind),
    Unbind(Unbind),
    Backtest(backtest::Backtest),
    Bundle(bundle::Bundle),
    Replay(bundle::Replay),
    Shadow(upgrade::ShadowArgs),
    Promote(upgrade::Promote),
    Rollback(upgrade::Rollback),
}

/// Show one validator: its kinds of events and its bindings
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store validator show auction
  atomic-store validator show auction@1
  atomic-store validator show 3f9a0c55d1e2")]
struct Show {
    /// A name, a name@version (1, 1.2 or 1.2.3), or a digest of at least 12 digits
    validator: ValidatorRef,
}

/// Let a validator judge scopes, from their next append on
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store validator bind 'auction/*' auction@1 --config '{\"increment\":\"0.50\"}'
  atomic-store validator bind 'auction/charity-*' auction --config @charity.json
  atomic-store validator bind '*' accept-all
  atomic-store validator bind 'auction/*' auction@2 --share 10%

The most specific pattern wins. A scope without a validator refuses appends.")]
struct Bind {
    /// A scope's name, or the start of names followed by *
    pattern: ScopePattern,
    /// A name, a name@version, or a digest
    validator: ValidatorRef,
    /// What the validator gets when it starts: the bytes themselves, - for standard input, or @FILE
    #[arg(long, value_name = "JSON|-|@FILE")]
    config: Option<String>,
    /// Only for this share of the scopes, chosen by their names: a canary. The pattern must be bound;
    /// `bind` without a share, `rollback` or `shadow stop` end it
    #[arg(long, value_name = "PERCENT")]
    share: Option<Share>,
}

/// Remove a binding
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store validator unbind 'auction/*'")]
struct Unbind {
    /// The pattern, exactly as it was bound
    pattern: ScopePattern,
}

/// Runs the command.
pub(crate) async fn run(
    global: &Global,
    args: ValidatorArgs,
    out: &mut Out,
) -> Result<(), Failure> {
    let missing = match args.command {
        ValidatorCommand::New(args) => return project::run_new(&args, out),
        ValidatorCommand::Build(args) => return project::run_build(global, &args, out).await,
        ValidatorCommand::Dev(args) => return project::run_dev(global, args, out).await,
        ValidatorCommand::Backtest(args) => return backtest::run(global, args, out).await,
        ValidatorCommand::Bundle(args) => return bundle::run_bundle(global, args, out).await,
        ValidatorCommand::Replay(args) => return bundle::run_replay(&args, out),
        ValidatorCommand::Keygen(keygen) => return admission::run_keygen(&keygen, out),
        ValidatorCommand::Sign(sign) => return admission::run_sign(&sign, out),
        ValidatorCommand::Check(check) => return admission::run_check(global, &check, out).await,
        ValidatorCommand::Load(_) | ValidatorCommand::Pull(_) | ValidatorCommand::Bind(_) => {
            Missing::Create
        }
        _ => Missing::Refuse,
    };
    let connection = connect(global, missing).await?;
    let done = match args.command {
        ValidatorCommand::Load(load) => admission::run_load(&connection, &load, out).await,
        ValidatorCommand::Pull(pull) => admission::run_pull(&connection, &pull, out).await,
        ValidatorCommand::List => run_list(&connection, out).await,
        ValidatorCommand::Show(show) => run_show(&connection, show, out).await,
        ValidatorCommand::Bind(bind) => run_bind(&connection, bind, out).await,
        ValidatorCommand::Unbind(unbind) => run_unbind(&connection, unbind, out).await,
        ValidatorCommand::Shadow(args) => upgrade::run_shadow(&connection, args, out).await,
        ValidatorCommand::Promote(args) => upgrade::run_promote(&connection, args, out).await,
        ValidatorCommand::Rollback(args) => upgrade::run_rollback(&connection, args, out).await,
        // These have gone their own way above.
        ValidatorCommand::New(_)
        | ValidatorCommand::Build(_)
        | ValidatorCommand::Dev(_)
        | ValidatorCommand::Backtest(_)
        | ValidatorCommand::Bundle(_)
        | ValidatorCommand::Replay(_)
        | ValidatorCommand::Keygen(_)
        | ValidatorCommand::Sign(_)
        | ValidatorCommand::Check(_) => Ok(()),
    };
    done.and(connection.close().await)
}

async fn run_list(connection: &Connection, out: &mut Out) -> Result<(), Failure> {
    let (loaded, bindings) = connection.client.list_validators().await?;
    if out.json() {
        return out.document(&ListJson::of(&loaded, &bindings));
    }
    let rows = loaded.iter().map(|info| {
        let kinds: Vec<_> = info.description.kinds.iter().map(|(kind, _)| kind.as_str()).collect();
        vec![
            info.description.name.to_string(),
            info.description.version.clone(),
            info.digest.short(),
            if info.built_in { "built in".to_owned() } else { text::count(info.bytes) },
            kinds.join(" "),
        ]
    });
    out.table(&["validator", "version", "digest", "bytes", "kinds"], rows.collect())?;
    if bindings.is_empty() {
        return out.line("no bindings: every append is refused until one is made");
    }
    out.table(&["pattern", "validator", "config"], binding_rows(&bindings, &loaded))
}

async fn run_show(connection: &Connection, show: Show, out: &mut Out) -> Result<(), Failure> {
    let shown = connection.client.show_admission(show.validator).await?;
    if out.json() {
        return out.document(&AdmittedJson::of(&shown, None));
    }
    let signed_by = shown.grants.signed_by.clone().unwrap_or_else(|| "nobody".to_owned());
    let RuleInfo { description, digest, bytes, built_in } = &shown.info;
    out.pairs(&[
        ("validator", description.name.to_string()),
        ("version", description.version.clone()),
        ("digest", digest.to_string()),
        ("bytes", if *built_in { "built in".to_owned() } else { text::count(*bytes) }),
        ("signed by", signed_by),
        ("WASI", if shown.grants.wasi { "a virtual one" } else { "none" }.to_owned()),
    ])?;
    let kinds = description
        .kinds
        .iter()
        .map(|(kind, schema)| vec![kind.clone(), schema.clone().unwrap_or_else(|| "-".to_owned())]);
    out.table(&["kind", "schema"], kinds.collect())?;
    out.table(
        &["pattern", "validator", "config"],
        binding_rows(&shown.bindings, std::slice::from_ref(&shown.info)),
    )
}

async fn run_bind(connection: &Connection, bind: Bind, out: &mut Out) -> Result<(), Failure> {
    let Bind { pattern, validator, config, share } = bind;
    if share.is_some() {
        let config = config.as_deref();
        return upgrade::start(connection, pattern, validator, config, share, out).await;
    }
    let config = config.as_deref().map(input::bytes).transpose()?;
    let bound = connection.client.bind(pattern, validator, config).await?;
    upgrade::told(&bound, out)
}

async fn run_unbind(connection: &Connection, unbind: Unbind, out: &mut Out) -> Result<(), Failure> {
    connection.client.unbind(unbind.pattern.clone()).await?;
    match out.json() {
        true => out.document(&json!({ "unbound": unbind.pattern })),
        false => out.line(&format!("nothing is bound to {} any more", unbind.pattern)),
    }
}

fn binding_rows(bindings: &[Binding], loaded: &[RuleInfo]) -> Vec<Vec<String>> {
    let name = |binding: &Binding| {
        loaded.iter().find(|info| info.digest == binding.validator).map_or_else(
            || binding.validator.short(),
            |info| format!("{}@{}", info.description.name, info.description.version),
        )
    };
    let config = |binding: &Binding| {
        let config = binding.config.as_deref().map(Shown::guess);
        config.map_or_else(|| "-".to_owned(), |config| text::short(config.text(), 120).into_owned())
    };
    bindings
        .iter()
        .map(|binding| vec![binding.pattern.to_string(), name(binding), config(binding)])
        .collect()
}
