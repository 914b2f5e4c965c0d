//! The journal of rejections of the real process, killed without warning while clients are refused: what
//! was told is there, nothing is invented, no number comes twice, and a follower misses nothing.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store_client::{Client, Journaled, Options};
use atomic_store_core::{
    Append, AppendId, ExpectedHead, Outcome, Proposal, Rejection, ScopeName, Seq,
};
use atomic_store_tests::Server;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const KILLS: usize = 6;
const CLIENTS: u64 = 3;

/// Ids that were sent, and whether the refusal was told.
type Told = BTreeMap<AppendId, (ScopeName, bool)>;

/// Appends that insist on a wrong head, until told to stop.
async fn load(client: Client, n: u64, stop: Arc<AtomicBool>) -> Told {
    let scope = ScopeName::new(&format!("crash/{n}")).unwrap();
    let mut told = Told::new();
    while !stop.load(Ordering::SeqCst) {
        let id = client.new_id();
        let expected_head = ExpectedHead::Exactly(Seq(1_000));
        let proposals = vec![Proposal::json("load", n.to_string())];
        let append = Append { expected_head, ..Append::new(scope.clone(), id, proposals) };
        let refused = match client.append(append).await.unwrap().outcome {
            Outcome::HeadMismatch { .. } => true,
            Outcome::Unknown { .. } => false,
            other => panic!("{other:?}"),
        };
        told.insert(id, (scope.clone(), refused));
        // So slowly that nothing has to go for newer entries.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    told
}

/// Collects what a follower gets until it has an id.
async fn follow(client: Client, last: tokio::sync::oneshot::Receiver<AppendId>) -> Vec<Rejection> {
    let (mut entries, mut found) = (Vec::new(), client.follow_rejections(None, 0));
    let (mut last, mut wanted) = (last, None);
    while wanted.is_none_or(|id| entries.iter().all(|one: &Rejection| one.append_id != id)) {
        tokio::select! {
            id = &mut last, if wanted.is_none() => wanted = Some(id.unwrap()),
            next = found.next() => match next.unwrap().unwrap() {
                Journaled::Entry(entry) => entries.push(*entry),
                dropped => panic!("{dropped:?}"),
            },
        }
    }
    entries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_while_it_refuses_keeps_its_journal_and_repeats_no_number() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start(data.path(), &[]);
    let client = server.client().await;
    client.bind("*".parse().unwrap(), "accept-all".parse().unwrap(), None).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let options = || Options { retry_for: Duration::from_secs(60), ..Options::default() };
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        let client = Client::connect(server.address(), options()).await.unwrap();
        clients.push(tokio::spawn(load(client, n, Arc::clone(&stop))));
    }
    let client = Client::connect(server.address(), options()).await.unwrap();
    let (last, wanted) = tokio::sync::oneshot::channel();
    let follower = tokio::spawn(follow(client, wanted));
    for _ in 0..KILLS {
        // A kill before anything was refused finds nothing.
        let client = server.client().await;
        let before = client.rejections_end(None, 1).await.unwrap().newest;
        let patience = Instant::now() + Duration::from_secs(60);
        while client.rejections_end(None, 1).await.unwrap().newest < before.max(1) + 20 {
            assert!(Instant::now() < patience, "nothing is refused");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(client);
        server.kill();
        server = Server::start(data.path(), &[]);
    }
    stop.store(true, Ordering::SeqCst);
    let mut told = Told::new();
    for client in clients {
        told.extend(client.await.unwrap());
    }
    let client = server.client().await;
    let newest = client.rejections_end(None, 1).await.unwrap();
    let mut entries = Vec::new();
    let mut journal = client.read_rejections(None, 0, u64::MAX);
    while let Some(next) = journal.next().await {
        let Journaled::Entry(entry) = next.unwrap() else { panic!("something was dropped") };
        entries.push(*entry);
    }
    let refused = told.values().filter(|(_, refused)| *refused).count();
    println!("{KILLS} kills, {refused} refusals, {} entries", entries.len());
    let mut by_id = BTreeMap::new();
    for entry in &entries {
        let (scope, _) = told.get(&entry.append_id).expect("nobody sent this");
        assert_eq!((&entry.scope, entry.outcome.word()), (scope, "head-mismatch"));
        assert!(by_id.insert(entry.append_id, entry.number).is_none(), "an append is there twice");
    }
    // A kill takes nothing that was told: it is with the operating system by then.
    for (id, (_, refused)) in &told {
        assert!(!refused || by_id.contains_key(id), "{id} was told and is not there");
    }
    assert!(entries.last().unwrap().number <= newest.end);
    last.send(entries.last().unwrap().append_id).unwrap();
    let followed = follower.await.unwrap();
    assert_eq!(followed, entries, "the follower has seen another journal");
}
