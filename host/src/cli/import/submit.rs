//! Submits rows: many scopes side by side, and within a scope one after the other.
//!
//! Invariant: of a scope, the next row leaves only after the answer to the one before it. A lost
//! connection, a full queue or a retry therefore never changes the order, which decides about the
//! verdicts.

use super::args::Import;
use super::decimal;
use super::mapping::{Item, Plan};
use super::refused::{Refused, Why};
use super::source::{Row, Source};
use super::summary::Summary;
use crate::cli::failure::Failure;
use crate::cli::output;
use atomic_store_client::{Client, ClientError};
use atomic_store_core::{Answer, Append, Outcome, ScopeName};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Rows read ahead of their turn, so that a run of rows of one scope does not starve the others.
const AHEAD: usize = 65_536;
/// How long a row is tried again while the store has too much to do.
const PATIENCE: Duration = Duration::from_secs(30);
/// The first pause before it is.
const PAUSE: Duration = Duration::from_millis(10);

/// Rows between two looks at the progress bar.
const SHOWN_EVERY: u64 = 64;

/// An answered row.
struct Done {
    item: Item,
    answer: Result<Answer, ClientError>,
    took: Duration,
}

/// Submits all rows and counts the answers.
pub(super) async fn all(
    client: &Client,
    args: &Import,
    source: Source,
    plan: &Plan,
    refused: &mut Refused,
) -> Result<Summary, Failure> {
    let bar = bar(source.lines);
    let digest = source.digest;
    let mut rows = Ordered::new(source, plan)?;
    let mut import = Queue::new(client, args.in_flight as usize);
    let mut summary = Summary::new()?;
    let start = Instant::now();
    loop {
        while import.has_room() {
            let Some(row) = rows.next()? else { break };
            match plan.map(&digest, row) {
                Ok(item) => import.push(item),
                Err((row, why)) => {
                    let why = Why::unmapped(why);
                    summary.add_unmapped(&why);
                    refused.put(&row, &why)?;
                }
            }
        }
        let Some(done) = import.next().await? else { break };
        if let Some(why) = summary.add(&done.item.scope, &done.answer?, done.took) {
            refused.put(&done.item.row, &why)?;
        }
        if summary.rows() % SHOWN_EVERY == 0 {
            bar.set_position(summary.rows());
            bar.set_message(format!("{} accepted", summary.accepted()));
        }
    }
    bar.finish_and_clear();
    Ok(summary.finish(start.elapsed()))
}

fn bar(lines: u64) -> ProgressBar {
    if !output::has_watcher() {
        return ProgressBar::hidden();
    }
    let template = "import {bar:40} {human_pos}/{human_len} rows, {per_sec}, {msg} [eta {eta}]";
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(lines).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// The rows in the order of submission.
enum Ordered {
    AsRead(Box<Source>),
    Sorted(std::vec::IntoIter<(i128, Row)>),
}

impl Ordered {
    fn new(mut source: Source, plan: &Plan) -> Result<Self, Failure> {
        let mut rows = Vec::new();
        let Some(column) = plan.order_by() else { return Ok(Ordered::AsRead(Box::new(source))) };
        while let Some(row) = source.next()? {
            let key = row.text(column).and_then(|text| {
                let key = decimal::key(&text);
                key.ok_or_else(|| format!("{column} is {text:?}, not a plain decimal number"))
            });
            match key {
                Ok(key) => rows.push((key, row)),
                Err(why) => return Err(Failure::usage(format!("row {}: {why}", row.number))),
            }
        }
        // Stable: equal keys keep the order of the file.
        rows.sort_by_key(|(key, _)| *key);
        Ok(Ordered::Sorted(rows.into_iter()))
    }

    fn next(&mut self) -> Result<Option<Row>, Failure> {
        match self {
            Ordered::AsRead(source) => source.next(),
            Ordered::Sorted(rows) => Ok(rows.next().map(|(_, row)| row)),
        }
    }
}

/// Rows on their way.
struct Queue<'a> {
    client: &'a Client,
    /// A scope is here while one of its rows is in flight; its later rows wait.
    scopes: HashMap<ScopeName, VecDeque<Item>>,
    waiting: usize,
    flying: JoinSet<Done>,
    in_flight: usize,
}

impl<'a> Queue<'a> {
    fn new(client: &'a Client, in_flight: usize) -> Self {
        Queue { client, scopes: HashMap::new(), waiting: 0, flying: JoinSet::new(), in_flight }
    }

    fn has_room(&self) -> bool {
        self.flying.len() < self.in_flight && self.waiting < AHEAD
    }

    fn push(&mut self, item: Item) {
        match self.scopes.get_mut(&item.scope) {
            Some(queue) => {
                queue.push_back(item);
                self.waiting += 1;
            }
            None => {
                self.scopes.insert(item.scope.clone(), VecDeque::new());
                self.send(item);
            }
        }
    }

    fn send(&mut self, item: Item) {
        let client = self.client.clone();
        self.flying.spawn(async move {
            let start = Instant::now();
            let answer = patiently(&client, &item).await;
            Done { item, answer, took: start.elapsed() }
        });
    }

    /// The next answer; nothing if nothing is in flight.
    async fn next(&mut self) -> Result<Option<Done>, Failure> {
        let Some(joined) = self.flying.join_next().await else { return Ok(None) };
        let done =
            joined.map_err(|error| Failure::new(crate::cli::exit::STORAGE, error.to_string()))?;
        let follower = self.scopes.get_mut(&done.item.scope).and_then(VecDeque::pop_front);
        match follower {
            Some(item) => {
                self.waiting -= 1;
                self.send(item);
            }
            None => {
                self.scopes.remove(&done.item.scope);
            }
        }
        Ok(Some(done))
    }
}

/// Sends a row, and again while the store has too much to do or does not know. The id makes it the
/// same append each time.
async fn patiently(client: &Client, item: &Item) -> Result<Answer, ClientError> {
    let (start, mut pause) = (Instant::now(), PAUSE);
    loop {
        let answer = client
            .append(Append {
                // An earlier run may have sent it.
                repeated: true,
                ..Append::new(item.scope.clone(), item.id, vec![item.proposal.clone()])
            })
            .await?;
        let again = matches!(answer.outcome, Outcome::Overloaded(_) | Outcome::Unknown { .. });
        if !again || start.elapsed() > PATIENCE {
            return Ok(answer);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}
