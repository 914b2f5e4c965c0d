//! A server whose scopes ask the client that submits, and a client that answers by hand.
#![allow(dead_code, reason = "each test uses a part of it")]

use super::net_support::{PATIENCE, Raw, Running, private_folder, scope};
use atomic_store::clock::SystemClock;
use atomic_store::engine::{Drive, Engine, ORIGINATOR};
use atomic_store::log::MemoryLog;
use atomic_store_client::Client;
use atomic_store_core::protocol::{Reply, Request, StoreId};
use atomic_store_core::{
    Answer, Committed, Event, Limits, OriginatorVerdict, Outcome, Question, Reason, Seq,
};
use atomic_store_tests::ScriptedLoader;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// A server on a log that outlives it.
pub(crate) struct Store {
    log: Arc<MemoryLog>,
    limits: Limits,
    folder: TempDir,
    running: Option<Running>,
}

impl Store {
    pub(crate) async fn start(limits: Limits) -> Store {
        let log = Arc::new(MemoryLog::new(StoreId([1; 16]), limits.clone()));
        let mut store = Store { log, limits, folder: private_folder(), running: None };
        store.open().await;
        store.bind("*", None);
        store
    }

    async fn open(&mut self) {
        let (log, limits) = (Arc::clone(&self.log), self.limits.clone());
        let loader = Arc::new(ScriptedLoader);
        let engine = Engine::open(log, loader, Arc::new(SystemClock), limits, Drive::Threads(2));
        self.running = Some(Running::on(engine.unwrap(), &self.folder.path().join("s")).await);
    }

    pub(crate) fn bind(&self, pattern: &str, config: Option<&[u8]>) {
        let (pattern, which) = (pattern.parse().unwrap(), ORIGINATOR.parse().unwrap());
        self.running().engine.bind(pattern, &which, config.map(<[u8]>::to_vec)).unwrap();
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub(crate) async fn client(&self) -> Client {
        self.running().client().await
    }

    pub(crate) async fn raw(&self) -> Raw {
        self.running().raw().await
    }

    /// What was not durable is lost, and the store is opened again on the rest.
    pub(crate) async fn crash(&mut self) {
        self.log = Arc::new(self.log.crash(1));
        self.running.take().unwrap().stop().await;
        self.open().await;
    }

    pub(crate) async fn stop(mut self) {
        self.running.take().unwrap().stop().await;
    }
}

impl Raw {
    pub(crate) async fn next(&mut self) -> (u64, Reply) {
        let frame = soon(self.frame()).await.expect("the server closed the connection");
        (frame.call, frame.reply)
    }

    /// The question about a call; the past events before it are left out.
    pub(crate) async fn question(&mut self, call: u64) -> Question {
        loop {
            match self.next().await {
                (asked, Reply::Question(question)) => {
                    assert_eq!(asked, call);
                    return question;
                }
                (_, Reply::Events(_) | Reply::Done) => {}
                other => panic!("no question but {other:?}"),
            }
        }
    }

    /// The next answer to an append; what else comes before it is left out.
    pub(crate) async fn answer(&mut self) -> (u64, Answer) {
        loop {
            if let (call, Reply::Answer(answer)) = self.next().await {
                return (call, answer);
            }
        }
    }

    /// The reply to a call; what else comes before it is left out.
    pub(crate) async fn reply_to(&mut self, call: u64) -> Reply {
        loop {
            match self.next().await {
                (answered, reply) if answered == call => return reply,
                _ => {}
            }
        }
    }

    pub(crate) async fn judge(&mut self, call: u64, correlation: u64, verdict: OriginatorVerdict) {
        self.send(call, Request::Judge { correlation, verdict }).await;
    }

    pub(crate) async fn nothing_for(&mut self, time: Duration) {
        let early = tokio::time::timeout(time, self.frame()).await;
        assert!(early.is_err(), "too early: {early:?}");
    }
}

pub(crate) fn pass() -> OriginatorVerdict {
    OriginatorVerdict::Pass { reason: None, meta: None }
}

pub(crate) fn fail(code: &str) -> OriginatorVerdict {
    let (code, message) = (code.to_owned(), "as the test says".to_owned());
    let reasons = vec![Reason { code, message, data: None, seqs: Vec::new() }];
    OriginatorVerdict::Fail { reasons, meta: Some(vec![9]) }
}

pub(crate) fn committed(answer: Answer) -> Committed {
    match answer.outcome {
        Outcome::Committed(committed) => committed,
        other => panic!("{other:?}"),
    }
}

/// All durable events of a scope.
pub(crate) async fn read(client: &Client, name: &str) -> Vec<Event> {
    let mut events = Vec::new();
    let mut stream = client.read(&scope(name), Seq::ZERO, Seq::MAX, u64::MAX);
    while let Some(event) = soon(stream.next()).await {
        events.push(event.unwrap());
    }
    events
}

/// What must not hang.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it hangs")
}
