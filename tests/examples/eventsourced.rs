//! The first steps of Eventsourced's README, on this store: a processor whose messages are journaled
//! before it sees them, and which recovers by replay; and its door, whose state comes back too.
//!
//! There, the journal came first and nothing was refused: that is a scope bound to `accept-all`. The
//! processor stays a plain struct of the application, which folds what the journal holds. The door
//! is a state machine with rules, so it is a validator.
//!
//! Run it with `cargo run --release -p atomic-store-tests --example eventsourced` (after `make guests`).
#![allow(clippy::unwrap_used, reason = "an example; a failed unwrap is the end of it")]

use atomic_store::engine::ACCEPT_ALL;
use atomic_store::server::attach;
use atomic_store::store::{Store, StoreOptions};
use atomic_store_client::Client;
use atomic_store_core::{Outcome, Proposal, ScopeName, Seq};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// Counts the events that it has received.
struct Processor<'a> {
    counter: u64,
    out: &'a mut dyn Write,
}

impl Processor<'_> {
    fn receive(&mut self, event: &str) {
        self.counter += 1;
        writeln!(self.out, "[processor] event = {event} ({})", self.counter).unwrap();
    }

    /// Replays what was journaled up to an event, included.
    async fn recover(&mut self, client: &Client, scope: &ScopeName, through: Seq) {
        let mut events = client.read(scope, Seq::ZERO, through, u64::MAX);
        while let Some(event) = events.next().await {
            self.receive(std::str::from_utf8(&event.unwrap().payload).unwrap());
        }
    }

    /// Journals an event, then lets the processor see it.
    async fn send(&mut self, client: &Client, scope: &ScopeName, event: &str) {
        let message = Proposal { payload: event.into(), ..Proposal::json("message", "") };
        let answer = client.append_one(scope, message).await.unwrap();
        assert!(matches!(answer.outcome, Outcome::Committed(_)), "{answer:?}");
        self.receive(event);
    }
}

/// A door that moves, or not.
async fn door(client: &Client, commands: &[&str], out: &mut dyn Write) {
    let scope = ScopeName::new("door/front").unwrap();
    for command in commands {
        let answer = client.append_one(&scope, Proposal::json(command, "null")).await.unwrap();
        let said = match answer.outcome {
            Outcome::Committed(committed) => committed.reason.unwrap_or_default(),
            Outcome::Rejected(refusal) => refusal.reasons[0].message.clone(),
            other => panic!("{other:?}"),
        };
        writeln!(out, "[door] {said}").unwrap();
    }
}

/// One run of the application: open the journal, recover, work. The door's component is loaded by the
/// first.
fn application(directory: &Path, component: &[u8], commands: &[&str], out: &mut dyn Write) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = Store::open(StoreOptions::new(directory)).unwrap();
    runtime.block_on(async {
        let client = Client::over(attach(store.engine())).await.unwrap();
        let loaded = client.load_validator(component).await.unwrap();
        if loaded.new {
            let rules = loaded.info.digest.to_string().parse().unwrap();
            client.bind("door/*".parse().unwrap(), rules, None).await.unwrap();
            let record_only = ACCEPT_ALL.parse().unwrap();
            client.bind("processor/*".parse().unwrap(), record_only, None).await.unwrap();
        }
        let scope = ScopeName::new("processor/1").unwrap();
        let mut processor = Processor { counter: 0, out: &mut *out };
        processor.recover(&client, &scope, Seq::MAX).await;
        processor.send(&client, &scope, "foo").await;
        door(&client, commands, out).await;
    });
    assert!(store.close(Duration::from_secs(10)));
}

/// Recovers the processor as it was after an event, and changes nothing.
fn as_it_was(directory: &Path, through: Seq, out: &mut dyn Write) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = Store::open(StoreOptions::new(directory)).unwrap();
    runtime.block_on(async {
        let client = Client::over(attach(store.engine())).await.unwrap();
        let mut processor = Processor { counter: 0, out };
        let scope = ScopeName::new("processor/1").unwrap();
        processor.recover(&client, &scope, through).await;
    });
    assert!(store.close(Duration::from_secs(10)));
}

/// The whole walk: two runs of the application, then a look at the past.
pub(crate) fn run(directory: &Path, component: &[u8], out: &mut dyn Write) {
    application(directory, component, &["open", "close", "close"], out);
    application(directory, component, &["open", "close", "blah"], out);
    as_it_was(directory, Seq(1), out);
}

#[allow(dead_code, reason = "the test that runs this example calls `run`")]
fn main() {
    let directory = tempfile::tempdir().unwrap();
    let component = atomic_store_tests::guest("door");
    run(&directory.path().join("store"), &component, &mut io::stdout());
}
