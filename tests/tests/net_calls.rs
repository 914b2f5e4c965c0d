//! Every call of the client against a real server, over each way of connecting.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod net_support;

use atomic_store::server::{Server, ServerOptions, attach};
use atomic_store_client::{Address, Client, ClientError};
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{Limits, Outcome, Position, Seq};
use net_support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_store_works_over_a_socket() {
    let server = Running::start(Limits::default()).await;
    everything(server.client().await).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_works_over_tcp() {
    let engine = engine(1, Limits::default());
    let tcp = Some("127.0.0.1:0".parse().unwrap());
    let options = ServerOptions { tcp, ..ServerOptions::default() };
    let server = Server::bind(engine, options).await.unwrap();
    let address = Address::Tcp(server.tcp().unwrap());
    let serving = tokio::spawn(server.run(std::future::pending()));
    everything(Client::connect(address, net_support::options()).await.unwrap()).await;
    serving.abort();
}

#[tokio::test]
async fn a_store_works_within_the_process_on_one_thread() {
    let engine = engine(1, Limits::default());
    everything(Client::over(attach(&engine)).await.unwrap()).await;
}

async fn everything(client: Client) {
    let name = scope("auction/1");
    assert!(client.show_scope(&name).await.unwrap().is_none());
    let mut tail = client.subscribe(&name, Seq::ZERO);
    let mut order = client.subscribe_order(Position(0));
    for n in 1..=3 {
        let answer = client.append_one(&name, numbered(n)).await.unwrap();
        let Outcome::Committed(committed) = answer.outcome else { panic!("{answer:?}") };
        assert_eq!(committed.first.seq, Seq(n));
    }
    for n in 1..=3 {
        assert_eq!(tail.next().await.unwrap().unwrap().seq, Seq(n));
    }
    let bound = order.next().await.unwrap().unwrap();
    assert_eq!(bound.0.as_str(), "$system");
    assert_eq!(order.next().await.unwrap().unwrap().1.seq, Seq(1));
    let mut read = client.read(&name, Seq(1), Seq(2), 100);
    assert_eq!(read.next().await.unwrap().unwrap().payload, b"2");
    assert!(read.next().await.is_none());
    let mut read = client.read(&name, Seq::ZERO, Seq::MAX, 1);
    assert_eq!(read.next().await.unwrap().unwrap().payload, b"1");
    assert!(read.next().await.is_none());
    assert!(client.read(&scope("nothing"), Seq::ZERO, Seq::MAX, 9).next().await.is_none());
    let mut read = client.read_order(Position(0), 3);
    let mut count = 0;
    while let Some(event) = read.next().await {
        event.unwrap();
        count += 1;
    }
    assert_eq!(count, 3);
    let listed = client.list_scopes("auction/", "", 10).await.unwrap();
    assert_eq!((listed.len(), listed[0].head), (1, Seq(3)));
    let report = client.verify(None, |_, _, _| {}).await.unwrap();
    assert_eq!((report.events, report.damage.len()), (4, 0));
    validators(&client).await;
    let (head, answer) = client.query(&name, "state", Vec::new()).await.unwrap();
    assert!(head == Seq(3) && answer.is_err());
    assert_eq!(client.status().await.unwrap().store, client.store());
}

async fn validators(client: &Client) {
    let loaded = client.load_validator(atomic_store_tests::SCRIPTED).await.unwrap();
    assert!(loaded.new);
    assert!(!client.load_validator(atomic_store_tests::SCRIPTED).await.unwrap().new);
    let refused = client.load_validator(b"something else").await;
    assert!(matches!(refused, Err(ClientError::Request(RequestError::NotAdmitted(_)))));
    let empty = client.load_validator(b"").await;
    assert!(matches!(empty, Err(ClientError::Request(RequestError::Invalid { .. }))));
    let (all, bindings) = client.list_validators().await.unwrap();
    assert_eq!((all.len(), bindings.len()), (3, 1));
    let which: atomic_store_core::ValidatorRef =
        loaded.info.description.name.as_str().parse().unwrap();
    client.bind("ops/*".parse().unwrap(), which.clone(), None).await.unwrap();
    assert_eq!(client.show_validator(which).await.unwrap().bindings.len(), 1);
    client.unbind("ops/*".parse().unwrap()).await.unwrap();
    let again = client.unbind("ops/*".parse().unwrap()).await;
    assert!(matches!(again, Err(ClientError::Request(RequestError::NotFound(_)))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_calls_in_flight_each_get_their_own_answer() {
    let server = Running::start(Limits::default()).await;
    let client = server.client().await;
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..1_000_u64 {
        let client = client.clone();
        calls.spawn(async move {
            let name = scope(&format!("s/{}", n % 50));
            let answer = client.append_one(&name, numbered(n)).await.unwrap();
            let Outcome::Committed(committed) = answer.outcome else { panic!("{answer:?}") };
            let seq = committed.first.seq;
            let mut read = client.read(&name, Seq(seq.0 - 1), seq, 1);
            assert_eq!(read.next().await.unwrap().unwrap().payload, n.to_string().into_bytes());
        });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_futures_leave_the_connection_usable() {
    let server = Running::start(Limits::default()).await;
    let client = server.client().await;
    let name = scope("a");
    for n in 0..200 {
        let call = client.append_one(&name, numbered(n));
        let once = async { tokio::task::yield_now().await };
        tokio::select! { biased; _ = call => {}, () = once => {} }
    }
    client.append_one(&name, numbered(200)).await.unwrap();
    let mut stream = client.subscribe(&name, Seq::ZERO);
    let mut expected = Seq(1);
    let head = client.show_scope(&name).await.unwrap().unwrap().head;
    while expected <= head {
        tokio::select! {
            biased;
            event = stream.next() => {
                assert_eq!(event.unwrap().unwrap().seq, expected);
                expected = expected.next();
            }
            () = tokio::task::yield_now() => {}
        }
    }
    drop(stream);
    drop(client);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_seen_more_than_there_is_gets_told() {
    let server = Running::start(Limits::default()).await;
    let client = server.client().await;
    client.append_one(&scope("a"), numbered(1)).await.unwrap();
    for after in [Seq(2), Seq::MAX] {
        let error = client.subscribe(&scope("a"), after).next().await.unwrap().unwrap_err();
        assert!(error.to_string().contains("ahead of the store"), "{error}");
    }
    let error = client.subscribe_order(Position(999)).next().await.unwrap().unwrap_err();
    assert!(error.to_string().contains("ahead of the store"), "{error}");
    server.stop().await;
}
