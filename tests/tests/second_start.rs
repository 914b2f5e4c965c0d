//! The second start of a store with ten validators in JavaScript and Python: nothing is compiled again, only
//! what an append needs is loaded, and the first append does not wait for the others.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::plugin::CompileCounts;
use atomic_store::store::{Store, StoreOptions};
use atomic_store_client::{Client, Options};
use atomic_store_core::{Append, Outcome, Proposal, ScopeName, ScopePattern};
use atomic_store_tests::{Server, append_to, guest};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Validators of each of the two languages.
const EACH: usize = 5;

fn patient() -> Options {
    Options { retry_for: Duration::from_secs(300), ..Options::default() }
}

/// The same rules in other bytes, so that they are another validator: a custom section, which no tool reads,
/// stands behind the others.
fn another(component: &[u8], n: usize) -> Vec<u8> {
    let name = format!("n{n}");
    let section = [&[name.len() as u8], name.as_bytes(), b"padding"].concat();
    [component, &[0, section.len() as u8], &section].concat()
}

fn scope(n: usize) -> ScopeName {
    ScopeName::new(&format!("s{n}/1")).unwrap()
}

async fn append(client: &Client, n: usize, amount: u64) {
    let bid = format!(r#"{{"bidder":"ann","amount":{amount}}}"#);
    let proposals = vec![Proposal::json("bid", bid)];
    let answer = client.append(Append::new(scope(n), client.new_id(), proposals)).await.unwrap();
    assert!(matches!(answer.outcome, Outcome::Committed(_)), "s{n}: {:?}", answer.outcome);
}

/// The files of machine code, and which file each is: what is compiled again is written to a new one. Their times
/// tell when they were used.
fn code(data: &Path) -> BTreeMap<String, u64> {
    let entries = std::fs::read_dir(data.join("code")).unwrap().map(Result::unwrap);
    entries
        .filter(|entry| entry.path().extension().is_some_and(|end| end == "code"))
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, entry.metadata().unwrap().ino())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_start_with_ten_javascript_and_python_validators_compiles_nothing() {
    let data = tempfile::tempdir().unwrap();
    let arguments = ["--log", "warn"];
    let server = Server::start(data.path(), &arguments);
    let client = Client::connect(server.address(), patient()).await.unwrap();
    let files = ["auction-js", "auction-python"].map(guest);
    for n in 0..2 * EACH {
        let component = another(&files[n % 2], n);
        let loaded = client.load_validator(&component).await.unwrap();
        assert!(loaded.new, "the digests are to differ");
        let pattern = ScopePattern::new(&format!("s{n}/*")).unwrap();
        let digest = loaded.info.digest.to_string().parse().unwrap();
        client.bind(pattern, digest, None).await.unwrap();
        append(&client, n, 1).await;
    }
    drop(client);
    server.kill();
    let compiled = code(data.path());
    assert_eq!(compiled.len(), 2 * EACH);

    // As a user meets it: from the start of the program to the answer of the first append, in Python.
    let begin = Instant::now();
    let server = Server::start(data.path(), &arguments);
    let client = Client::connect(server.address(), patient()).await.unwrap();
    append(&client, 1, 2).await;
    let first = begin.elapsed();
    for n in (0..2 * EACH).filter(|n| *n != 1) {
        append(&client, n, 2).await;
    }
    println!("first append after {first:?}, one of each of the ten after {:?}", begin.elapsed());
    assert_eq!(code(data.path()), compiled, "something was compiled again");
    drop(client);
    server.kill();

    // What is loaded, counted: nothing by the start, then one for one.
    let store = Store::open(StoreOptions::new(data.path())).unwrap();
    assert_eq!(store.compiled(), CompileCounts::default());
    let caller = atomic_store_tests::Caller::new(store.engine().clone());
    for n in 0..2 * EACH {
        let bid = Proposal::json("bid", br#"{"bidder":"ann","amount":3}"#.to_vec());
        let append = Append { proposals: vec![bid], ..append_to(scope(n).as_str(), &[]) };
        let outcome = caller.wait(caller.send(append)).outcome;
        assert!(matches!(outcome, Outcome::Committed(_)), "s{n}: {outcome:?}");
        assert_eq!(store.compiled(), CompileCounts { compiled: 0, reused: n as u64 + 1 });
    }
}
