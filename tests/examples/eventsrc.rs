//! The walk through Eventsrc's README, on this store: a directory of users. Two are added, both are in
//! the view; one is deleted; the directory as it was before can still be read.
//!
//! There, an operation saw the last number of the stream and was tried again when another event came
//! first; so it does here, by `decide`: the application reads its view, and its append insists on the
//! number that the view was made of. A view is a fold of the application over the events.
//!
//! Run it with `cargo run --release -p atomic-store-tests --example eventsrc`.
#![allow(clippy::unwrap_used, reason = "an example; a failed unwrap is the end of it")]

use atomic_store::engine::ACCEPT_ALL;
use atomic_store::server::attach;
use atomic_store::store::{Store, StoreOptions};
use atomic_store_client::{Client, ClientError, Retry};
use atomic_store_core::{Append, ExpectedHead, Outcome, Proposal, ScopeName, Seq};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// The users by name, as of an event.
#[derive(Default)]
struct Directory {
    seq: Seq,
    users: BTreeMap<String, String>,
}

/// Why an operation was not saved.
enum NotSaved {
    Rejected(String),
    Failed(ClientError),
}

impl From<ClientError> for NotSaved {
    fn from(error: ClientError) -> Self {
        NotSaved::Failed(error)
    }
}

impl Directory {
    /// The state after the event `through`, included (`getAt`), or now.
    async fn at(
        client: &Client,
        scope: &ScopeName,
        through: Seq,
    ) -> Result<Directory, ClientError> {
        let mut directory = Directory::default();
        let mut events = client.read(scope, Seq::ZERO, through, u64::MAX);
        while let Some(event) = events.next().await {
            let event = event?;
            let text = String::from_utf8_lossy(&event.payload).into_owned();
            match (event.kind.as_str(), text.split_once(' ')) {
                ("add-user", Some((name, mail))) => {
                    directory.users.insert(name.to_owned(), mail.to_owned());
                }
                ("delete-user", _) => drop(directory.users.remove(&text)),
                _ => {}
            }
            directory.seq = event.seq;
        }
        Ok(directory)
    }
}

/// Saves an operation that is allowed by the directory as it is now.
async fn save(
    client: &Client,
    scope: &ScopeName,
    operation: impl Fn(&Directory) -> Result<Proposal, String>,
    out: &mut dyn Write,
) {
    let retry = Retry::default();
    let decided = client.decide(scope, &retry, async |attempt| {
        let now = Directory::at(client, scope, Seq::MAX).await?;
        let append = attempt.append(vec![operation(&now).map_err(NotSaved::Rejected)?]);
        Ok(Append { expected_head: ExpectedHead::Exactly(now.seq), ..append })
    });
    match decided.await {
        Ok(decided) => match decided.answer.outcome {
            Outcome::Committed(committed) => {
                let retries = decided.attempts - 1;
                writeln!(out, "Success({}, retries {retries})", committed.last.seq).unwrap();
            }
            other => panic!("{other:?}"),
        },
        Err(NotSaved::Rejected(why)) => writeln!(out, "Reject({why})").unwrap(),
        Err(NotSaved::Failed(error)) => panic!("{error}"),
    }
}

/// Adds a user, unless there is one of that name.
fn add(name: &str, mail: &str) -> impl Fn(&Directory) -> Result<Proposal, String> {
    move |directory| {
        if directory.users.contains_key(name) {
            return Err(format!("{name} is there already"));
        }
        Ok(Proposal::json("add-user", format!("{name} {mail}")))
    }
}

/// Deletes a user, if there is one.
fn delete(name: &str) -> impl Fn(&Directory) -> Result<Proposal, String> {
    move |directory| {
        if !directory.users.contains_key(name) {
            return Err(format!("there is no {name}"));
        }
        Ok(Proposal::json("delete-user", name))
    }
}

async fn show(client: &Client, scope: &ScopeName, through: Seq, out: &mut dyn Write) {
    let Directory { seq, users } = Directory::at(client, scope, through).await.unwrap();
    let users: Vec<_> = users.iter().map(|(name, mail)| format!("{name} <{mail}>")).collect();
    writeln!(out, "after event {seq}: [{}]", users.join(", ")).unwrap();
}

/// The whole walk, on a store in a directory.
pub(crate) fn run(directory: &Path, out: &mut dyn Write) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = Store::open(StoreOptions::new(directory)).unwrap();
    runtime.block_on(async {
        let client = Client::over(attach(store.engine())).await.unwrap();
        let record_only = ACCEPT_ALL.parse().unwrap();
        client.bind("directory/*".parse().unwrap(), record_only, None).await.unwrap();
        let scope = ScopeName::new("directory/1").unwrap();
        show(&client, &scope, Seq::MAX, out).await;
        save(&client, &scope, add("fred", "fred@example.com"), out).await;
        save(&client, &scope, add("wilma", "wilma@example.com"), out).await;
        show(&client, &scope, Seq::MAX, out).await;
        save(&client, &scope, add("fred", "other@example.com"), out).await;
        save(&client, &scope, delete("fred"), out).await;
        save(&client, &scope, delete("fred"), out).await;
        show(&client, &scope, Seq::MAX, out).await;
        show(&client, &scope, Seq(2), out).await;
        show(&client, &scope, Seq(1), out).await;
    });
    assert!(store.close(Duration::from_secs(10)));
}

#[allow(dead_code, reason = "the test that runs this example calls `run`")]
fn main() {
    let directory = tempfile::tempdir().unwrap();
    run(&directory.path().join("store"), &mut io::stdout());
}
