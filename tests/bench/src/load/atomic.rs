//! Atomic Store: the rules are in the store, so a bid is one append.

use super::{Bidding, Bulk, Plain, SHARED_CONNECTIONS, bulk};
use crate::failure::Failure;
use crate::shape::{self, Amounts};
use atomic_store_client::{Address, Client, Options, Selection};
use atomic_store_core::{Answer, Append, Key, Outcome, Proposal, ScopeName, Seq};
use std::cell::Cell;
use std::path::Path;

/// Events of one append while a scope is filled.
const FILL_EVENTS: u64 = 500;
/// Appends in flight meanwhile, to one scope.
const FILL_APPENDS: usize = 8;
/// Auctions that are opened at a time.
const OPEN_AT_A_TIME: usize = 512;

/// The store, over few connections.
pub(super) struct Atomic {
    clients: Vec<Client>,
    scopes: Vec<ScopeName>,
    /// The last event of each entity.
    heads: Vec<Cell<Seq>>,
}

fn unwanted(answer: &Answer) -> Failure {
    Failure::new(format!("not accepted: {:?}", answer.outcome))
}

/// Asks for what must be accepted, and says where the last event stands.
fn accepted(answer: &Answer) -> Result<Seq, Failure> {
    match &answer.outcome {
        Outcome::Committed(committed) => Ok(committed.last.seq),
        _ => Err(unwanted(answer)),
    }
}

impl Atomic {
    pub(super) async fn connect(socket: &Path, clients: usize) -> Result<Self, Failure> {
        let mut connections = Vec::new();
        for _ in 0..clients.clamp(1, SHARED_CONNECTIONS) {
            let address = Address::Unix(socket.to_owned());
            connections.push(Client::connect(address, Options::default()).await?);
        }
        Ok(Atomic { clients: connections, scopes: Vec::new(), heads: Vec::new() })
    }

    /// All appends to a scope take the same connection, so they arrive in order.
    fn client(&self, scope: usize) -> &Client {
        &self.clients[scope % self.clients.len()]
    }

    fn set_scopes(&mut self, names: &[String], folder: &str) -> Result<(), Failure> {
        let names = names.iter().map(|name| ScopeName::new(&format!("{folder}/{name}")));
        self.scopes = names.collect::<Result<_, _>>()?;
        Ok(())
    }

    async fn fill_with(
        &self,
        scope: &ScopeName,
        events: u64,
        proposal: impl Fn(u64) -> Proposal,
    ) -> Result<(), Failure> {
        let client = &self.clients[0];
        bulk::each(bulk::appends(events, FILL_EVENTS), FILL_APPENDS, async |(from, count)| {
            let proposals = (from..from + count).map(&proposal).collect();
            let append = Append::new(scope.clone(), client.new_id(), proposals);
            accepted(&client.append(append).await?).map(drop)
        })
        .await
    }

    /// Fills an auction with bids.
    pub(super) async fn fill_bids(&self, scope: &str, events: u64) -> Result<(), Failure> {
        let scope = ScopeName::new(&format!("auction/{scope}"))?;
        self.fill_with(&scope, events, |n| Proposal::json("bid", shape::bid(0, n as i64 + 1))).await
    }
}

impl Bidding for Atomic {
    async fn open(&mut self, names: Vec<String>) -> Result<(), Failure> {
        self.set_scopes(&names, "auction")?;
        bulk::each(0..self.scopes.len(), OPEN_AT_A_TIME, async |n| {
            let open = Proposal::json("open", shape::OPEN);
            accepted(&self.client(n).append_one(&self.scopes[n], open).await?).map(drop)
        })
        .await
    }

    async fn bid(&self, client: usize, auction: usize, amounts: &Amounts) -> Result<u64, Failure> {
        let mut retries = 0;
        loop {
            let bid = Proposal::json("bid", shape::bid(client, amounts.next()));
            let answer = self.client(auction).append_one(&self.scopes[auction], bid).await?;
            match &answer.outcome {
                Outcome::Committed(_) => return Ok(retries),
                Outcome::Rejected(_) => retries += 1,
                _ => return Err(unwanted(&answer)),
            }
        }
    }
}

/// Bids that are refused, every one.
pub(super) struct TooLow(pub(super) Atomic);

impl Bidding for TooLow {
    async fn open(&mut self, names: Vec<String>) -> Result<(), Failure> {
        self.0.open(names).await
    }

    async fn bid(&self, client: usize, auction: usize, _: &Amounts) -> Result<u64, Failure> {
        let bid = Proposal::json("bid", shape::bid(client, 0));
        let answer = self.0.client(auction).append_one(&self.0.scopes[auction], bid).await?;
        match &answer.outcome {
            Outcome::Rejected(_) => Ok(0),
            other => Err(Failure::new(format!("not refused: {other:?}"))),
        }
    }
}

impl Plain for Atomic {
    async fn enter(&mut self, names: Vec<String>) -> Result<(), Failure> {
        self.heads = names.iter().map(|_| Cell::new(Seq::ZERO)).collect();
        self.set_scopes(&names, "plain")
    }

    async fn append(&self, entity: usize, events: usize) -> Result<(), Failure> {
        let client = self.client(entity);
        let about = Key::new("entity", &entity.to_string());
        let proposals = (0..events).map(|_| Proposal {
            keys: vec![about.clone()],
            ..Proposal::json("bid", shape::bid(entity, 1))
        });
        let scope = self.scopes[entity].clone();
        let append = Append::new(scope, client.new_id(), proposals.collect());
        let append = append.since(self.heads[entity].get());
        self.heads[entity].set(accepted(&client.append(append).await?)?);
        Ok(())
    }
}

impl Bulk for Atomic {
    async fn fill(&self, scope: &str, events: u64) -> Result<(), Failure> {
        let scope = ScopeName::new(&format!("plain/{scope}"))?;
        self.fill_with(&scope, events, |n| Proposal::json("bid", shape::bid(0, n as i64))).await
    }

    async fn read(&self, scope: &str) -> Result<u64, Failure> {
        let scope = ScopeName::new(&format!("plain/{scope}"))?;
        let mut stream = self.clients[0].read(&scope, Seq::ZERO, Seq(u64::MAX), u64::MAX);
        let mut found = 0;
        while let Some(event) = stream.next().await {
            found += u64::from(!event?.payload.is_empty());
        }
        Ok(found)
    }

    async fn read_all(&self, events: u64) -> Result<u64, Failure> {
        // Validators and bindings are events too, of the system scope; they do not count.
        let mut stream = self.clients[0].select(&Selection::all());
        let mut found = 0;
        while found < events {
            let Some(event) = stream.next().await else { break };
            found += u64::from(event?.scope.as_str().starts_with("plain/"));
        }
        Ok(found)
    }
}
