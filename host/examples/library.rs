//! A library that two clerks and a clock write to: the walk-through of coherence, with what it prints.
//!
//! ```text
//! cargo run --release -p atomic-store --example library
//! ```
//!
//! Alice and Bob looked at the same empty log. Alice stores first. Bob touches a book that Alice has
//! touched, is told so, looks at her event, decides that it does not matter to his, and says that it
//! is resolved. Then receipts are filed, and the right to one reader's data runs out: an effect.

use atomic_store::store::{Store, StoreOptions};
use atomic_store_client::Client;
use atomic_store_core::{Answer, Append, Key, Outcome, Proposal, ScopeName, Seq};
use std::error::Error;
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    for line in walk().await? {
        println!("{line}");
    }
    Ok(())
}

/// The whole walk, and a line for each step.
async fn walk() -> Result<Vec<String>, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let store = Store::open(StoreOptions::new(folder.path().join("data")))?;
    let client = Client::over(atomic_store::server::attach(store.engine())).await?;
    client.bind("*".parse()?, "accept-all".parse()?, None).await?;
    let scope = ScopeName::new("library")?;
    let new = |proposals| Append::new(scope.clone(), client.new_id(), proposals);
    let mut lines = Vec::new();

    // Alice has seen nothing, and nothing is there: no conflict.
    let lends = vec![lent("Neuromancer", "alice"), lent("Solaris", "alice")];
    let answer = client.append(new(lends).since(Seq(0))).await?;
    lines.push(format!("alice, since 0: {}", told(&answer)));

    // Bob has seen nothing either. His first book is free, his second is not.
    let lends = || vec![lent("Dhalgren", "bob"), lent("Neuromancer", "bob")];
    let answer = client.append(new(lends()).since(Seq(0))).await?;
    lines.push(format!("bob, since 0: {}", told(&answer)));

    // He has looked at event 1 and insists.
    let answer = client.append(new(lends()).since(Seq(0)).resolved([Seq(1)])).await?;
    lines.push(format!("bob, since 0, resolved 1: {}", told(&answer)));

    // Receipts name the reader whose data they hold, as a trigger. Who files them has seen Alice's first
    // event only; but nobody has touched a receipt, so that is enough.
    let receipts = vec![receipt("1", "alice"), receipt("2", "bob")];
    let answer = client.append(new(receipts).since(Seq(1))).await?;
    lines.push(format!("receipts, since 1: {}", told(&answer)));

    // The key to Alice's data expires. An effect is about no key, so it conflicts with nothing.
    let expired = vec![Proposal::effect("key-expired", Key::new("reader", "alice"), "{}")];
    let answer = client.append(new(expired).since(Seq(5))).await?;
    lines.push(format!("effect, since 5: {}", told(&answer)));

    // Whoever has not seen it and touches a receipt of hers is told, by way of the trigger.
    let answer = client.append(new(vec![receipt("1", "alice")]).since(Seq(6)).dry_run()).await?;
    lines.push(format!("receipt 1, since 6: {}", told(&answer)));
    let answer = client.append(new(vec![receipt("2", "bob")]).since(Seq(6)).dry_run()).await?;
    lines.push(format!("receipt 2, since 6, dry run: {}", told(&answer)));

    let head = client.show_scope(&scope).await?.map_or(Seq::ZERO, |info| info.head);
    lines.push(format!("events: {head}"));
    drop(client);
    if !store.close(Duration::from_secs(30)) {
        return Err("the store did not close in time".into());
    }
    Ok(lines)
}

fn lent(book: &str, reader: &str) -> Proposal {
    let payload = format!("{{\"reader\":\"{reader}\"}}");
    Proposal { keys: vec![Key::new("book", book)], ..Proposal::json("lent", payload) }
}

fn receipt(number: &str, reader: &str) -> Proposal {
    Proposal {
        keys: vec![Key::new("receipt", number)],
        triggers: vec![Key::new("reader", reader)],
        ..Proposal::json("receipt", "{}")
    }
}

/// An answer in a few words.
fn told(answer: &Answer) -> String {
    match &answer.outcome {
        Outcome::Committed(committed) => {
            format!("ok {}..{}", committed.first.seq, committed.last.seq)
        }
        Outcome::Conflict { accepted, conflicts } => {
            let rows = conflicts.iter().map(|conflict| {
                let by = conflict.trigger.as_ref().map_or_else(String::new, |t| format!(" by {t}"));
                let (ours, theirs) = (conflict.ours, conflict.theirs.seq);
                format!("ours {ours}, theirs {theirs}, {}{by}", conflict.key)
            });
            format!("conflict after {accepted} events: {}", rows.collect::<Vec<_>>().join("; "))
        }
        other => other.word().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn the_walk_through_of_coherence_gives_what_its_readme_prints() {
        let expected = [
            // Numbers 1 and 2.
            "alice, since 0: ok 1..2",
            // Events [3], ours 4, theirs 1.
            "bob, since 0: conflict after 1 events: ours 4, theirs 1, book:Neuromancer",
            "bob, since 0, resolved 1: ok 3..4",
            "receipts, since 1: ok 5..6",
            "effect, since 5: ok 7..7",
            "receipt 1, since 6: conflict after 0 events: ours 8, theirs 7, receipt:1 by reader:alice",
            "receipt 2, since 6, dry run: ok 8..8",
            "events: 7",
        ];
        assert_eq!(super::walk().await.unwrap(), expected);
    }
}
