//! SQLite: in the load process, one connection on a thread of its own. More connections only wait for
//! each other: it takes one writer at a time.

use super::Bidding;
use crate::failure::Failure;
use crate::rules::Fold;
use crate::shape::{self, Amounts};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::path::Path;
use std::sync::mpsc;
use tokio::sync::oneshot;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS auctions (name TEXT PRIMARY KEY, seq INTEGER NOT NULL, opening INTEGER,
    highest INTEGER, bidder TEXT, closed INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (position INTEGER PRIMARY KEY AUTOINCREMENT, auction TEXT NOT NULL,
    seq INTEGER NOT NULL, kind TEXT NOT NULL, payload TEXT NOT NULL, UNIQUE (auction, seq));
";

/// A bid on its way to the thread of the connection.
struct Bid {
    auction: String,
    bidder: String,
    amount: i64,
    payload: String,
    reply: oneshot::Sender<Result<bool, Failure>>,
}

/// The way to the thread.
pub(super) struct Sqlite {
    connection: Option<Connection>,
    bids: mpsc::Sender<Bid>,
    waiting: Option<mpsc::Receiver<Bid>>,
    names: Vec<String>,
}

impl Sqlite {
    pub(super) fn open(file: &Path) -> Result<Self, Failure> {
        let connection = Connection::open(file)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(SCHEMA)?;
        let (bids, waiting) = mpsc::channel();
        Ok(Sqlite { connection: Some(connection), bids, waiting: Some(waiting), names: Vec::new() })
    }
}

/// Judges a bid and stores it, in one transaction.
fn decide(connection: &mut Connection, bid: &Bid) -> Result<bool, Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut read = transaction
        .prepare_cached("SELECT seq, opening, highest, closed FROM auctions WHERE name = ?1")?;
    let found = read.query_row([&bid.auction], |row| {
        let fold = Fold { opening: row.get(1)?, highest: row.get(2)?, closed: row.get(3)? };
        Ok((row.get::<_, i64>(0)?, fold))
    });
    let (seq, fold) = found.optional()?.ok_or_else(|| Failure::new("no such auction"))?;
    drop(read);
    if fold.judge(bid.amount * 100).is_err() {
        return Ok(false);
    }
    transaction
        .prepare_cached(
            "INSERT INTO events (auction, seq, kind, payload) VALUES (?1, ?2, 'bid', ?3)",
        )?
        .execute(params![bid.auction, seq + 1, bid.payload])?;
    transaction
        .prepare_cached("UPDATE auctions SET seq = ?2, highest = ?3, bidder = ?4 WHERE name = ?1")?
        .execute(params![bid.auction, seq + 1, bid.amount * 100, bid.bidder])?;
    transaction.commit()?;
    Ok(true)
}

impl Bidding for Sqlite {
    async fn open(&mut self, names: Vec<String>) -> Result<(), Failure> {
        let parts = self.connection.take().zip(self.waiting.take());
        let (mut connection, waiting) = parts.ok_or_else(|| Failure::new("opened twice"))?;
        let transaction = connection.transaction()?;
        for name in &names {
            transaction.execute(
                "INSERT INTO auctions (name, seq, opening) VALUES (?1, 1, ?2)",
                params![name, shape::OPENING],
            )?;
            transaction.execute(
                "INSERT INTO events (auction, seq, kind, payload) VALUES (?1, 1, 'open', ?2)",
                params![name, shape::OPEN],
            )?;
        }
        transaction.commit()?;
        self.names = names;
        std::thread::spawn(move || {
            while let Ok(bid) = waiting.recv() {
                let decided = decide(&mut connection, &bid);
                // Nobody waits for it any more once the time is over.
                drop(bid.reply.send(decided));
            }
        });
        Ok(())
    }

    async fn bid(&self, client: usize, auction: usize, amounts: &Amounts) -> Result<u64, Failure> {
        let mut retries = 0;
        loop {
            let (reply, answer) = oneshot::channel();
            let amount = amounts.next();
            let bid = Bid {
                auction: self.names[auction].clone(),
                bidder: format!("bidder-{client}"),
                amount,
                payload: shape::bid(client, amount),
                reply,
            };
            self.bids.send(bid).map_err(|_| Failure::new("the thread of SQLite ended"))?;
            if answer.await?? {
                return Ok(retries);
            }
            retries += 1;
        }
    }
}
