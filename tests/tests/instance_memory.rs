//! What instances of validators may have of the machine's memory, all together.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::server::attach;
use atomic_store_client::Client;
use atomic_store_core::{Limits, Outcome, Proposal, ScopePattern};
use atomic_store_tests::{Disk, Server, append_to, guest, program, scope, wat_rules};
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// What one instance of the rules counts for: the least there is, and its few bytes of data.
const INSTANCE: usize = 33 * 1024;

#[test]
fn scopes_leave_when_their_instances_have_more_memory_than_they_should() {
    // Nothing but the memory is in the way.
    let disk = Disk::new(Limits { instance_bytes_max: 10 * INSTANCE, ..Limits::default() });
    let caller = disk.caller();
    caller.rule("*", &wat_rules("1.0.0"));
    let scopes = 500;
    for round in 0..2_u64 {
        for n in 0..scopes {
            let text = round.to_string();
            let outcome = caller.append(&format!("s/{n}"), &[&text]);
            assert!(matches!(outcome, Outcome::Committed(_)), "s/{n}: {outcome:?}");
            let live = caller.engine.status().live;
            assert!(live <= 15, "{live} scopes have more memory than there is");
        }
    }
    // With room for all of them nobody leaves.
    drop(caller);
    let roomy = Disk::new(Limits::default());
    let caller = roomy.caller();
    caller.rule("*", &wat_rules("1.0.0"));
    (0..100).for_each(|n| {
        assert!(matches!(caller.append(&format!("s/{n}"), &["0"]), Outcome::Committed(_)))
    });
    assert_eq!(caller.engine.status().live, 100);
}

#[test]
fn many_scopes_at_once_wait_for_room_and_one_alone_is_never_refused() {
    let disk = Disk::new(Limits { instance_bytes_max: INSTANCE / 2, ..Limits::default() });
    let caller = disk.caller();
    caller.rule("*", &wat_rules("1.0.0"));
    // Its instance is larger than all may be, and it works.
    for n in 0..5_u64 {
        let outcome = caller.append("s/alone", &[&n.to_string()]);
        assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    }
    let calls: Vec<_> =
        (0..200).map(|n| caller.send(append_to(&format!("s/{n}"), &["0"]))).collect();
    let (mut stored, mut refused) = (0, 0);
    for call in calls {
        match caller.wait(call).outcome {
            Outcome::Committed(_) => stored += 1,
            Outcome::Overloaded(_) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    println!("{stored} stored, {refused} told to try again");
    assert!(stored > 0);
    for n in 0..200 {
        let patience = Instant::now() + Duration::from_secs(60);
        while !matches!(
            caller.append(&format!("s/{n}"), &["0", "1"]),
            Outcome::Committed(_) | Outcome::Rejected(_)
        ) {
            assert!(Instant::now() < patience, "s/{n} never gets room");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    caller.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_starts_many_scopes_at_once_is_slowed_down_and_not_refused() {
    // All of them are undecided at the same time, so nobody can leave before the disk is done.
    let disk = Disk::new(Limits { instance_bytes_max: 20 * INSTANCE, ..Limits::default() });
    let caller = disk.caller();
    caller.rule("*", &wat_rules("1.0.0"));
    let client = Client::over(attach(&caller.engine)).await.unwrap();
    let mut calls = JoinSet::new();
    for n in 0..1_000 {
        let client = client.clone();
        calls.spawn(async move {
            client.append_one(&scope(&format!("s/{n}")), Proposal::json("n", "0")).await
        });
    }
    while let Some(answer) = calls.join_next().await {
        let outcome = answer.unwrap().unwrap().outcome;
        assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    }
    // Whoever came before the memory was counted leaves while others go on.
    let mut more = 0;
    while caller.engine.status().live > 40 {
        more += 1;
        assert!(more < 10_000, "{} scopes stay in memory", caller.engine.status().live);
        client.append_one(&scope("s/0"), Proposal::json("n", more.to_string())).await.unwrap();
    }
}

#[tokio::test]
async fn an_instance_takes_the_four_memory_maps_that_it_counts_for() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--log", "error"]);
    let client = server.client().await;
    let auction = client.load_validator(&guest("auction")).await.unwrap().info.digest;
    let auction = auction.to_string().parse().unwrap();
    client.bind(ScopePattern::new("*").unwrap(), auction, None).await.unwrap();
    let fill = async |first: usize, count: usize| {
        for n in first..first + count {
            let bid = Proposal::json("bid", r#"{"bidder":"b","amount":100}"#);
            let outcome = client.append_one(&scope(&format!("a/{n}")), bid).await.unwrap().outcome;
            assert!(matches!(outcome, Outcome::Committed(_)), "a/{n}: {outcome:?}");
        }
        std::fs::read_to_string(format!("/proc/{}/maps", server.pid())).unwrap().lines().count()
    };
    let (before, scopes) = (fill(0, 100).await, 500);
    let more = fill(100, scopes).await - before;
    assert!((3 * scopes..=4 * scopes + scopes / 4).contains(&more), "{more} maps for {scopes}");
    server.kill();
}

/// `.cargo/config.toml` says so, and `cargo` reads that only within the project.
#[test]
fn the_program_keeps_freed_memory_for_a_minute() {
    let mut command = Command::new(program());
    let told = command.arg("--version").env("_RJEM_MALLOC_CONF", "stats_print:true").output();
    let told = String::from_utf8(told.unwrap().stderr).unwrap();
    assert!(told.contains("opt.dirty_decay_ms: 60000"), "{told}");
}
