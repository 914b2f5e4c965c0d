//! PostgreSQL: one row per auction that keeps the fold, one row per event. Three ways to keep others
//! out. The client has a pool of connections, for a connection carries one transaction at a time.

use super::{Bidding, Bulk};
use crate::failure::Failure;
use crate::job::Way;
use crate::rules::Fold;
use crate::shape::{self, Amounts};
use futures_util::{StreamExt, pin_mut};
use std::cell::RefCell;
use std::path::Path;
use tokio::sync::Semaphore;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Statement};

/// Connections of the pool. On 2 cores more are slower, above all on one auction.
const POOL: usize = 32;
/// Events stored by one statement while many are stored.
const FILL_EVENTS: i64 = 10_000;

/// What is created before the first load process connects. The function raises a bid that is too low,
/// instead of refusing it: the connections of the pool overtake each other, which is no fault of the
/// rules.
pub(crate) const SCHEMA: &str = "
CREATE TABLE auctions (name text PRIMARY KEY, seq bigint NOT NULL, opening bigint, highest bigint,
    bidder text, closed boolean NOT NULL DEFAULT false) WITH (fillfactor = 50);
CREATE TABLE events (position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, auction text NOT NULL,
    seq bigint NOT NULL, kind text NOT NULL, payload text NOT NULL, UNIQUE (auction, seq));
CREATE FUNCTION bid(auction_name text, bid_by text, amount bigint, content text) RETURNS boolean AS $$
DECLARE fold auctions%ROWTYPE;
BEGIN
    SELECT * INTO STRICT fold FROM auctions WHERE name = auction_name FOR UPDATE;
    IF fold.closed OR amount < coalesce(fold.opening, 0) THEN
        RETURN false;
    END IF;
    IF amount < fold.highest + 1 THEN
        amount := fold.highest + 1;
    END IF;
    INSERT INTO events (auction, seq, kind, payload)
        VALUES (auction_name, fold.seq + 1, 'bid', content);
    UPDATE auctions SET seq = fold.seq + 1, highest = amount, bidder = bid_by
        WHERE name = auction_name;
    RETURN true;
END $$ LANGUAGE plpgsql;
";

/// A connection with its statements.
struct Connection {
    client: Client,
    lock: Statement,
    read: Statement,
    insert: Statement,
    update: Statement,
    function: Statement,
}

/// The pool.
pub(super) struct Postgres {
    way: Way,
    free: RefCell<Vec<Connection>>,
    permits: Semaphore,
    names: Vec<String>,
}

/// What became of one attempt.
enum Attempt {
    Accepted,
    Refused,
    /// Lost a race: the transaction was rolled back.
    Again,
}

const READ: &str = "SELECT seq, opening, highest, closed FROM auctions WHERE name = $1";

impl Connection {
    async fn open(host: &Path, port: u16) -> Result<Self, Failure> {
        let mut config = tokio_postgres::Config::new();
        config.host_path(host).port(port).user("postgres").dbname("postgres");
        let (client, connection) = config.connect(NoTls).await?;
        tokio::task::spawn_local(async move { drop(connection.await) });
        let insert = "INSERT INTO events (auction, seq, kind, payload) VALUES ($1, $2, 'bid', $3)";
        let update = "UPDATE auctions SET seq = $2, highest = $3, bidder = $4 WHERE name = $1";
        Ok(Connection {
            lock: client.prepare(&format!("{READ} FOR UPDATE")).await?,
            read: client.prepare(READ).await?,
            insert: client.prepare(insert).await?,
            update: client.prepare(update).await?,
            function: client.prepare("SELECT bid($1, $2, $3, $4)").await?,
            client,
        })
    }

    async fn attempt(
        &self,
        way: Way,
        auction: &str,
        client: usize,
        amounts: &Amounts,
    ) -> Result<Attempt, Failure> {
        if way == Way::Function {
            let (bidder, amount) = (format!("bidder-{client}"), amounts.next());
            let (payload, amount) = (shape::bid(client, amount), amount * 100);
            let parameters: [&(dyn ToSql + Sync); 4] = [&auction, &bidder, &amount, &payload];
            let accepted = self.client.query_one(&self.function, &parameters).await?.get(0);
            return Ok(if accepted { Attempt::Accepted } else { Attempt::Refused });
        }
        let decided = self.decide(way, auction, client, amounts).await;
        // Of two transactions that insert the same number, one may hear of the number before it hears
        // of the race; PostgreSQL's manual asks to try again then too.
        let lost = |error: &tokio_postgres::Error| {
            let code = error.code();
            code == Some(&SqlState::T_R_SERIALIZATION_FAILURE)
                || way == Way::Serializable && code == Some(&SqlState::UNIQUE_VIOLATION)
        };
        let end = if matches!(decided, Ok(true)) { "COMMIT" } else { "ROLLBACK" };
        match (decided, self.client.batch_execute(end).await) {
            (Err(error), _) | (Ok(_), Err(error)) if lost(&error) => Ok(Attempt::Again),
            (Err(error), _) | (Ok(_), Err(error)) => Err(error.into()),
            (Ok(true), Ok(())) => Ok(Attempt::Accepted),
            (Ok(false), Ok(())) => Ok(Attempt::Refused),
        }
    }

    async fn decide(
        &self,
        way: Way,
        auction: &str,
        client: usize,
        amounts: &Amounts,
    ) -> Result<bool, tokio_postgres::Error> {
        let (begin, read) = match way {
            Way::Serializable => ("BEGIN ISOLATION LEVEL SERIALIZABLE", &self.read),
            Way::RowLock | Way::Function => ("BEGIN", &self.lock),
        };
        self.client.batch_execute(begin).await?;
        let row = self.client.query_one(read, &[&auction]).await?;
        let fold = Fold { opening: row.get(1), highest: row.get(2), closed: row.get(3) };
        let seq = row.get::<_, i64>(0) + 1;
        // The client bids once it knows the highest bid.
        let amount = amounts.next();
        if fold.judge(amount * 100).is_err() {
            return Ok(false);
        }
        let (bidder, payload) = (format!("bidder-{client}"), shape::bid(client, amount));
        self.client.execute(&self.insert, &[&auction, &seq, &payload]).await?;
        self.client.execute(&self.update, &[&auction, &seq, &(amount * 100), &bidder]).await?;
        Ok(true)
    }
}

impl Postgres {
    pub(super) async fn connect(
        host: &Path,
        port: u16,
        way: Way,
        clients: usize,
    ) -> Result<Self, Failure> {
        let count = clients.clamp(1, POOL);
        let mut free = Vec::new();
        for _ in 0..count {
            free.push(Connection::open(host, port).await?);
        }
        let permits = Semaphore::new(count);
        Ok(Postgres { way, free: RefCell::new(free), permits, names: Vec::new() })
    }

    /// Does something with a free connection; waits for one in turn.
    async fn with<T>(
        &self,
        work: impl AsyncFnOnce(&Connection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let _permit = self.permits.acquire().await?;
        let free = self.free.borrow_mut().pop();
        let connection = free.ok_or_else(|| Failure::new("the pool is empty"))?;
        let done = work(&connection).await;
        self.free.borrow_mut().push(connection);
        done
    }

    async fn count(&self, query: &str, name: &str, number: i64) -> Result<u64, Failure> {
        self.with(async |connection| {
            let parameters: [&(dyn ToSql + Sync); 2] = [&name, &number];
            let rows = connection.client.query_raw(query, parameters).await?;
            pin_mut!(rows);
            let mut found = 0;
            while let Some(row) = rows.next().await {
                found += u64::from(!row?.get::<_, &str>(3).is_empty());
            }
            Ok(found)
        })
        .await
    }
}

impl Bidding for Postgres {
    async fn open(&mut self, names: Vec<String>) -> Result<(), Failure> {
        self.with(async |connection| {
            let auctions =
                "INSERT INTO auctions (name, seq, opening) SELECT unnest($1::text[]), 1, $2";
            connection.client.execute(auctions, &[&names, &shape::OPENING]).await?;
            let events = "INSERT INTO events (auction, seq, kind, payload) \
                          SELECT unnest($1::text[]), 1, 'open', $2";
            connection.client.execute(events, &[&names, &shape::OPEN]).await?;
            Ok(())
        })
        .await?;
        self.names = names;
        Ok(())
    }

    async fn bid(&self, client: usize, auction: usize, amounts: &Amounts) -> Result<u64, Failure> {
        self.with(async |connection| {
            let mut retries = 0;
            loop {
                let name = &self.names[auction];
                match connection.attempt(self.way, name, client, amounts).await? {
                    Attempt::Accepted => return Ok(retries),
                    Attempt::Refused | Attempt::Again => retries += 1,
                }
            }
        })
        .await
    }
}

impl Bulk for Postgres {
    async fn fill(&self, scope: &str, events: u64) -> Result<(), Failure> {
        let events = i64::try_from(events)?;
        let payload = shape::bid(0, 1_000);
        let insert = "INSERT INTO events (auction, seq, kind, payload) \
                      SELECT $1, n, 'bid', replace($2, '1000', n::text) FROM generate_series($3::bigint, $4::bigint) n";
        let mut from = 1;
        while from <= events {
            let to = events.min(from + FILL_EVENTS - 1);
            self.with(async |one| {
                one.client.execute(insert, &[&scope, &payload, &from, &to]).await?;
                Ok(())
            })
            .await?;
            from = to + 1;
        }
        Ok(())
    }

    async fn read(&self, scope: &str) -> Result<u64, Failure> {
        let query = "SELECT position, seq, kind, payload FROM events \
                     WHERE auction = $1 AND seq > $2 ORDER BY seq";
        self.count(query, scope, 0).await
    }

    async fn read_all(&self, events: u64) -> Result<u64, Failure> {
        let query = "SELECT position, auction, kind, payload FROM events \
                     WHERE $1 = '' ORDER BY position LIMIT $2";
        self.count(query, "", i64::try_from(events)?).await
    }
}
