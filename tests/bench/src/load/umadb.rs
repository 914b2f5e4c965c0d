//! UmaDB: the client keeps the fold of each auction, decides, and appends on condition that nothing
//! happened to the auction since. If something did, it reads that, folds it, and decides again.
//!
//! Bids of one load process on one auction take turns, so that it never loses a race against itself:
//! the kindest case for this way of working, as one application server alone would have it.

use super::{Bidding, Bulk, Plain, SHARED_CONNECTIONS, bulk};
use crate::failure::Failure;
use crate::rules::Fold;
use crate::shape::{self, Amounts};
use std::cell::{Cell, RefCell};
use tokio::sync::Mutex;
use umadb_client::{AsyncUmaDbClient, UmaDbClient};
use umadb_dcb::{
    DcbAppendCondition, DcbError, DcbEvent, DcbEventStoreAsync, DcbQuery, DcbQueryItem,
    DcbReadResponseAsync,
};

/// Events of one append while many are stored.
const FILL_EVENTS: u64 = 1_000;
/// Appends in flight meanwhile.
const FILL_APPENDS: usize = 4;

/// What the client knows of an auction.
struct Auction {
    tag: String,
    turn: Mutex<()>,
    fold: RefCell<Fold>,
    /// The last position that is folded.
    seen: Cell<u64>,
}

/// The server, over few connections.
pub(super) struct Umadb {
    clients: Vec<AsyncUmaDbClient>,
    auctions: Vec<Auction>,
}

/// A client of a server.
pub(super) async fn client(url: &str) -> Result<AsyncUmaDbClient, Failure> {
    Ok(UmaDbClient::new(url.to_owned()).connect_async().await?)
}

/// An event of a scope.
pub(super) fn event(kind: &str, tag: &str, payload: impl Into<Vec<u8>>) -> DcbEvent {
    DcbEvent::new().event_type(kind).tags([tag]).data(payload)
}

/// The events of a scope.
pub(super) fn about(tag: &str) -> DcbQuery {
    DcbQuery::new().item(DcbQueryItem::new().tags([tag]))
}

impl Umadb {
    pub(super) async fn connect(url: &str, clients: usize) -> Result<Self, Failure> {
        let mut connections = Vec::new();
        for _ in 0..clients.clamp(1, SHARED_CONNECTIONS) {
            connections.push(client(url).await?);
        }
        Ok(Umadb { clients: connections, auctions: Vec::new() })
    }

    fn client(&self, auction: usize) -> &AsyncUmaDbClient {
        &self.clients[auction % self.clients.len()]
    }

    fn set_auctions(&mut self, names: Vec<String>, fold: &Fold) {
        let auctions = names.into_iter().map(|tag| Auction {
            tag,
            turn: Mutex::default(),
            fold: RefCell::new(fold.clone()),
            seen: Cell::new(0),
        });
        self.auctions = auctions.collect();
    }

    /// Appends, unless something happened to the auction that the client has not seen.
    async fn append_unless_changed(
        &self,
        at: usize,
        events: Vec<DcbEvent>,
    ) -> Result<bool, Failure> {
        let auction = &self.auctions[at];
        let after = Some(auction.seen.get());
        let condition = DcbAppendCondition::new(about(&auction.tag)).after(after);
        match self.client(at).append(events, Some(condition), None).await {
            Ok(position) => {
                auction.seen.set(position);
                Ok(true)
            }
            Err(DcbError::IntegrityError(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Folds what happened to the auction meanwhile.
    async fn catch_up(&self, at: usize) -> Result<(), Failure> {
        let auction = &self.auctions[at];
        let start = Some(auction.seen.get() + 1);
        let query = Some(about(&auction.tag));
        let mut stream = self.client(at).read(query, start, false, None).await?;
        loop {
            let events = stream.next_batch().await?;
            if events.is_empty() {
                return Ok(());
            }
            for found in events {
                auction.seen.set(found.position);
                let payload: serde_json::Value = serde_json::from_slice(&found.event.data)?;
                if let Some(amount) = payload["amount"].as_i64() {
                    auction.fold.borrow_mut().bid(amount * 100);
                }
            }
        }
    }

    async fn count(mut stream: Box<dyn DcbReadResponseAsync + Send>) -> Result<u64, Failure> {
        let mut found = 0;
        loop {
            let events = stream.next_batch().await?;
            if events.is_empty() {
                return Ok(found);
            }
            found += events.iter().filter(|one| !one.event.data.is_empty()).count() as u64;
        }
    }
}

impl Bidding for Umadb {
    async fn open(&mut self, names: Vec<String>) -> Result<(), Failure> {
        let mut next = self.client(0).head().await?.unwrap_or(0) + 1;
        self.set_auctions(names, &Fold { opening: Some(shape::OPENING), ..Fold::default() });
        for auctions in self.auctions.chunks(FILL_EVENTS as usize) {
            let events = auctions.iter().map(|one| event("open", &one.tag, shape::OPEN));
            let last = self.client(0).append(events.collect(), None, None).await?;
            for auction in auctions {
                auction.seen.set(next);
                next += 1;
            }
            if last + 1 != next {
                return Err(Failure::new("somebody else appends to this UmaDB"));
            }
        }
        Ok(())
    }

    async fn bid(&self, client: usize, at: usize, amounts: &Amounts) -> Result<u64, Failure> {
        let auction = &self.auctions[at];
        let _turn = auction.turn.lock().await;
        let mut retries = 0;
        loop {
            let amount = amounts.next();
            let judged = auction.fold.borrow().judge(amount * 100);
            if judged.is_ok() {
                let bid = event("bid", &auction.tag, shape::bid(client, amount));
                if self.append_unless_changed(at, vec![bid]).await? {
                    auction.fold.borrow_mut().bid(amount * 100);
                    return Ok(retries);
                }
                self.catch_up(at).await?;
            }
            retries += 1;
        }
    }
}

impl Plain for Umadb {
    async fn enter(&mut self, names: Vec<String>) -> Result<(), Failure> {
        let head = self.client(0).head().await?.unwrap_or(0);
        self.set_auctions(names, &Fold::default());
        self.auctions.iter().for_each(|entity| entity.seen.set(head));
        Ok(())
    }

    async fn append(&self, entity: usize, events: usize) -> Result<(), Failure> {
        let tag = &self.auctions[entity].tag;
        let events = (0..events).map(|_| event("bid", tag, shape::bid(entity, 1)));
        match self.append_unless_changed(entity, events.collect()).await? {
            true => Ok(()),
            false => Err(Failure::new("somebody else appends to this entity")),
        }
    }
}

impl Bulk for Umadb {
    async fn fill(&self, scope: &str, events: u64) -> Result<(), Failure> {
        let client = self.client(0);
        bulk::each(bulk::appends(events, FILL_EVENTS), FILL_APPENDS, async |(from, count)| {
            let events = (from..from + count).map(|n| event("bid", scope, shape::bid(0, n as i64)));
            client.append(events.collect(), None, None).await?;
            Ok(())
        })
        .await
    }

    async fn read(&self, scope: &str) -> Result<u64, Failure> {
        Self::count(self.client(0).read(Some(about(scope)), None, false, None).await?).await
    }

    async fn read_all(&self, events: u64) -> Result<u64, Failure> {
        let limit = Some(u32::try_from(events)?);
        Self::count(self.client(0).read(None, None, false, limit).await?).await
    }
}
