//! Live subscriptions: writers append to one scope, and every subscriber gets every event.
//!
//! Latency is the time from before an append is sent to the event's arrival at a subscriber, both in
//! this process. The time ends when the last subscriber has the last event.

use super::{bulk, umadb};
use crate::failure::Failure;
use crate::job::{Job, Sample};
use crate::meter::{Cpu, Latencies};
use crate::shape;
use atomic_store_client::{Address, Client, ClientError, Options};
use atomic_store_core::{Outcome, Proposal, ScopeName, Seq};
use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, spawn_local};
use umadb_dcb::DcbEventStoreAsync;

/// Connections that the subscribers share.
const CONNECTIONS: usize = 8;
/// Subscribers whose latency is taken; that of all would measure the histogram.
const TIMED: usize = 16;
/// Writers pause while the subscribers are so many events behind: what counts is what a store can
/// deliver for long, not what it can owe.
const EVENTS_AHEAD: u64 = 256;
/// How long the last deliveries may take once the last append was answered.
const PATIENCE: Duration = Duration::from_secs(20);

/// What writers and subscribers share.
struct Board {
    start: Instant,
    /// Events appended; known once the time for appending is over.
    sent: Cell<u64>,
    delivered: Cell<u64>,
    latencies: RefCell<Latencies>,
}

impl Board {
    fn new() -> Result<Rc<Self>, Failure> {
        Ok(Rc::new(Board {
            start: Instant::now(),
            sent: Cell::new(0),
            delivered: Cell::new(0),
            latencies: RefCell::new(Latencies::new()?),
        }))
    }

    /// The payload carries when it was sent, in place of an amount.
    fn payload(&self) -> String {
        shape::bid(0, i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    fn arrived(&self, subscriber: usize, payload: &[u8]) -> Result<(), Failure> {
        self.delivered.set(self.delivered.get() + 1);
        if subscriber < TIMED {
            let payload: serde_json::Value = serde_json::from_slice(payload)?;
            let sent = Duration::from_micros(payload["amount"].as_u64().unwrap_or(0));
            let took = self.start.elapsed().saturating_sub(sent);
            self.latencies.borrow_mut().record(took);
        }
        Ok(())
    }

    fn outstanding(&self, subscribers: usize) -> u64 {
        (self.sent.get() * subscribers as u64).saturating_sub(self.delivered.get())
    }

    /// Appends for the time of the job, then waits until all subscribers have all events.
    async fn write(
        &self,
        job: &Job,
        subscribers: usize,
        append: impl AsyncFn(String) -> Result<(), Failure>,
    ) -> Result<Sample, Failure> {
        let (before, from) = (Cpu::now(job.server), Instant::now());
        let end = from + Duration::from_secs_f64(job.seconds);
        bulk::each(0..job.clients, job.clients, async |_| {
            while Instant::now() < end {
                while self.outstanding(subscribers) > EVENTS_AHEAD * subscribers as u64 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                append(self.payload()).await?;
                self.sent.set(self.sent.get() + 1);
            }
            Ok(())
        })
        .await?;
        let all = self.sent.get() * subscribers as u64;
        let patience = Instant::now() + PATIENCE;
        while self.delivered.get() < all {
            if Instant::now() > patience {
                let delivered = self.delivered.get();
                return Err(Failure::new(format!("{delivered} of {all} deliveries came")));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut sample = Sample {
            done: all,
            seconds: from.elapsed().as_secs_f64(),
            latency: self.latencies.borrow().latency(),
            ..Sample::default()
        };
        Cpu::now(job.server).spent_since(before, &mut sample);
        Ok(sample)
    }
}

/// Fails if a subscriber ended, which it should not.
async fn beside<T>(
    subscribers: Vec<JoinHandle<Result<(), Failure>>>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let done = work.await;
    for one in subscribers {
        if one.is_finished() {
            one.await??;
        } else {
            one.abort();
        }
    }
    done
}

/// Atomic Store.
pub(super) async fn atomic(
    job: &Job,
    socket: &Path,
    subscribers: usize,
) -> Result<Sample, Failure> {
    let connect = || Client::connect(Address::Unix(socket.to_owned()), Options::default());
    let mut clients = Vec::new();
    for _ in 0..subscribers.min(CONNECTIONS) {
        clients.push(connect().await?);
    }
    let scope = ScopeName::new(&format!("plain/{}", job.tag))?;
    let writer = connect().await?;
    let append = async |payload: String| {
        let answer = writer.append_one(&scope, Proposal::json("bid", payload)).await?;
        match answer.outcome {
            Outcome::Committed(_) => Ok(()),
            other => Err(Failure::new(format!("not accepted: {other:?}"))),
        }
    };
    // The first event is there before anybody listens: a subscription begins with what is there.
    append(shape::bid(0, 0)).await?;
    let (board, ready) = (Board::new()?, Rc::new(Cell::new(0_usize)));
    let listening = (0..subscribers).map(|n| {
        let mut events = clients[n % clients.len()].subscribe(&scope, Seq::ZERO);
        let (board, ready) = (Rc::clone(&board), Rc::clone(&ready));
        spawn_local(async move {
            next(events.next().await)?;
            ready.set(ready.get() + 1);
            loop {
                board.arrived(n, &next(events.next().await)?.payload)?;
            }
        })
    });
    let listening = listening.collect();
    all_ready(&ready, subscribers).await?;
    beside(listening, board.write(job, subscribers, append)).await
}

/// UmaDB.
pub(super) async fn umadb(job: &Job, url: &str, subscribers: usize) -> Result<Sample, Failure> {
    let mut clients = Vec::new();
    for _ in 0..subscribers.min(CONNECTIONS) {
        clients.push(Rc::new(umadb::client(url).await?));
    }
    let writer = umadb::client(url).await?;
    let tag = &job.tag;
    let append = async |payload: String| {
        writer.append(vec![umadb::event("bid", tag, payload)], None, None).await?;
        Ok(())
    };
    append(shape::bid(0, 0)).await?;
    let (board, ready) = (Board::new()?, Rc::new(Cell::new(0_usize)));
    let listening = (0..subscribers).map(|n| {
        let (client, query) = (Rc::clone(&clients[n % clients.len()]), umadb::about(tag));
        let (board, ready) = (Rc::clone(&board), Rc::clone(&ready));
        spawn_local(async move {
            let mut events = client.subscribe(Some(query), None).await?;
            let mut first = true;
            loop {
                let batch = events.next_batch().await?;
                if batch.is_empty() {
                    return Err(Failure::new("a subscription ended"));
                }
                for found in batch {
                    match std::mem::take(&mut first) {
                        true => ready.set(ready.get() + 1),
                        false => board.arrived(n, &found.event.data)?,
                    }
                }
            }
        })
    });
    let listening = listening.collect();
    all_ready(&ready, subscribers).await?;
    beside(listening, board.write(job, subscribers, append)).await
}

/// The next event of a subscription, which has no end.
fn next<T>(event: Option<Result<T, ClientError>>) -> Result<T, Failure> {
    Ok(event.ok_or_else(|| Failure::new("a subscription ended"))??)
}

async fn all_ready(ready: &Cell<usize>, subscribers: usize) -> Result<(), Failure> {
    let patience = Instant::now() + PATIENCE;
    while ready.get() < subscribers {
        if Instant::now() > patience {
            let ready = ready.get();
            return Err(Failure::new(format!("{ready} of {subscribers} subscribers came up")));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}
