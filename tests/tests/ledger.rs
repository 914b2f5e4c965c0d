//! Money between accounts, against the real process: transfers are joint appends from several clients
//! that contend for a few accounts. Not a cent is lost or made, also when the process is killed again
//! and again in the middle.
//!
//! `CRASH_SECONDS=n` makes it longer.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store_client::{Client, Options};
use atomic_store_core::{
    AppendId, Event, JointAnswer, JointAppend, JointOutcome, Outcome, Part, PartOutcome, Proposal,
    ScopeName, Seq,
};
use atomic_store_tests::{Kills, Rng, Server, guest};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const CLIENTS: u64 = 4;
const DEPOSIT: u64 = 10_000;

/// What was sent under an id, and what was told about it.
type Told = BTreeMap<AppendId, (JointAppend, JointAnswer)>;

fn accounts(count: u64) -> Vec<ScopeName> {
    (0..count).map(|n| ScopeName::new(&format!("ledger/{n}")).unwrap()).collect()
}

async fn open_accounts(client: &Client, accounts: &[ScopeName]) {
    let loaded = client.load_validator(&guest("ledger")).await.unwrap();
    let which = loaded.info.digest.to_string().parse().unwrap();
    client.bind("ledger/*".parse().unwrap(), which, None).await.unwrap();
    for account in accounts {
        let deposit = Proposal::json("deposit", format!("{{\"cents\":{DEPOSIT}}}"));
        let answer = client.append_one(account, deposit).await.unwrap();
        assert!(matches!(answer.outcome, Outcome::Committed(_)), "{answer:?}");
    }
}

/// Pays from one account to one or two others, until told to stop.
async fn transfers(
    client: Client,
    accounts: Vec<ScopeName>,
    mut rng: Rng,
    stop: Arc<AtomicBool>,
    acks: Arc<AtomicU64>,
) -> Told {
    let mut told = Told::new();
    while !stop.load(Ordering::SeqCst) {
        let mut calls = Vec::new();
        for _ in 0..4 {
            let mut left = accounts.clone();
            let from = left.swap_remove(rng.index(left.len()));
            let others = 1 + rng.index(left.len().min(2));
            let cents = 1 + rng.below(DEPOSIT);
            let leg =
                |kind: &str, cents: u64| Proposal::json(kind, format!("{{\"cents\":{cents}}}"));
            let mut parts = vec![Part::new(from, vec![leg("paid", cents * others as u64)])];
            for _ in 0..others {
                let to = left.swap_remove(rng.index(left.len()));
                parts.push(Part::new(to, vec![leg("received", cents)]));
            }
            if rng.one_in(2) {
                parts.reverse();
            }
            let id = client.new_id();
            let transfer = JointAppend { id, repeated: false, dry_run: false, parts };
            let client = client.clone();
            calls.push(tokio::spawn(async move {
                let answer = client.append_joint(transfer.clone()).await.unwrap();
                (transfer, answer)
            }));
        }
        for call in calls {
            let (transfer, answer) = call.await.unwrap();
            match &answer.outcome {
                JointOutcome::Committed(_) => drop(acks.fetch_add(1, Ordering::SeqCst)),
                JointOutcome::Refused(PartOutcome { outcome, .. }) => match outcome {
                    Outcome::Rejected(refusal) => {
                        assert_eq!(refusal.reasons[0].code, "overdraft");
                    }
                    Outcome::Unknown { .. } => {}
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            }
            told.insert(transfer.id, (transfer, answer));
        }
    }
    told
}

async fn read(client: &Client, account: &ScopeName) -> Vec<Event> {
    let mut events = Vec::new();
    let mut stream = client.read(account, Seq::ZERO, Seq::MAX, u64::MAX);
    while let Some(event) = stream.next().await {
        events.push(event.unwrap());
    }
    events
}

/// All money is there, no account was ever overdrawn, and every transfer is in all of its accounts, or
/// in none, as its client was told.
async fn check(client: &Client, accounts: &[ScopeName], told: &Told) {
    let report = client.verify(None, |_, _, _| {}).await.unwrap();
    assert_eq!(report.damage, Vec::<String>::new());
    let mut total = 0;
    let mut stored: BTreeMap<AppendId, BTreeSet<ScopeName>> = BTreeMap::new();
    for account in accounts {
        let mut balance = 0_u64;
        for event in read(client, account).await {
            let value: serde_json::Value = serde_json::from_slice(&event.payload).unwrap();
            let cents = value["cents"].as_u64().unwrap();
            balance = match event.kind.as_str() {
                "deposit" | "received" => balance + cents,
                _ => balance.checked_sub(cents).expect("overdrawn"),
            };
            if event.kind != "deposit" {
                let new = stored.entry(event.append_id).or_default().insert(account.clone());
                assert!(new, "a leg is stored twice");
            }
        }
        let (_, answer) = client.query(account, "balance", Vec::new()).await.unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&answer.unwrap()).unwrap();
        assert_eq!(answer["cents"].as_u64(), Some(balance));
        total += balance;
    }
    assert_eq!(total, DEPOSIT * accounts.len() as u64);
    for (id, (transfer, answer)) in told {
        let legs: BTreeSet<_> = transfer.parts.iter().map(|part| part.scope.clone()).collect();
        let found = stored.remove(id);
        match &answer.outcome {
            JointOutcome::Committed(_) => assert_eq!(found, Some(legs), "acknowledged and lost"),
            JointOutcome::Refused(PartOutcome { outcome: Outcome::Unknown { .. }, .. }) => {
                assert!(found.is_none_or(|found| found == legs), "{id} is stored in part");
            }
            other => assert_eq!(found, None, "{id} is stored, but was {other:?}"),
        }
    }
    assert!(stored.is_empty(), "nobody sent this");
}

fn start(
    clients: Vec<Client>,
    accounts: &[ScopeName],
) -> (Arc<AtomicBool>, Arc<AtomicU64>, Vec<tokio::task::JoinHandle<Told>>) {
    let (stop, acks) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let tasks = (0..).zip(clients).map(|(n, client)| {
        let (stop, acks) = (Arc::clone(&stop), Arc::clone(&acks));
        tokio::spawn(transfers(client, accounts.to_vec(), Rng::new(n), stop, acks))
    });
    let tasks = tasks.collect();
    (stop, acks, tasks)
}

async fn finish(stop: &AtomicBool, tasks: Vec<tokio::task::JoinHandle<Told>>) -> Told {
    stop.store(true, Ordering::SeqCst);
    let mut told = Told::new();
    for task in tasks {
        told.extend(task.await.unwrap());
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_moves_between_two_and_more_accounts_and_no_cent_is_lost() {
    for count in [2, 5] {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path(), &[]);
        let client = server.client().await;
        let accounts = accounts(count);
        open_accounts(&client, &accounts).await;
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            clients.push(server.client().await);
        }
        let (stop, acks, tasks) = start(clients, &accounts);
        while acks.load(Ordering::SeqCst) < 400 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let told = finish(&stop, tasks).await;
        check(&client, &accounts, &told).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_under_transfers_keeps_each_whole_or_not_at_all() {
    let seconds = std::env::var("CRASH_SECONDS").map_or(8, |n| n.parse().unwrap());
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let accounts = accounts(5);
    open_accounts(&server.client().await, &accounts).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let options = Options { retry_for: Duration::from_secs(60), ..Options::default() };
        clients.push(Client::connect(server.address(), options).await.unwrap());
    }
    let (stop, acks, tasks) = start(clients, &accounts);
    let kills = Kills { seconds, acks_min: 100, acks_each: 20 };
    let (server, kills) = kills.run(server, data.path(), &acks).await;
    let told = finish(&stop, tasks).await;
    let acks = acks.load(Ordering::SeqCst);
    println!("{kills} kills, {acks} acknowledged transfers");
    let client = server.client().await;
    check(&client, &accounts, &told).await;
    // Whoever asks again gets the first outcome.
    for (transfer, answer) in told.values().take(200) {
        let again = JointAppend { repeated: true, ..transfer.clone() };
        let again = client.append_joint(again).await.unwrap();
        if matches!(answer.outcome, JointOutcome::Committed(_)) {
            assert_eq!((again.duplicate, &again.outcome), (true, &answer.outcome));
        }
    }
    check(&client, &accounts, &told).await;
}
