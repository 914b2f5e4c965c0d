//! Redis: the rules are a Lua script, which runs alone. One round trip; the connections are shared.

use super::{Bidding, SHARED_CONNECTIONS};
use crate::failure::Failure;
use crate::shape::{self, Amounts};
use redis::aio::MultiplexedConnection;
use std::path::Path;

/// KEYS: the hash that holds the fold, the stream of events. ARGV: amount in cents, bidder, payload.
const BID: &str = "
local fold = redis.call('HMGET', KEYS[1], 'closed', 'opening', 'highest', 'seq')
local amount = tonumber(ARGV[1])
if fold[1] then return redis.error_reply('CLOSED') end
if amount < tonumber(fold[2] or 0) then return redis.error_reply('BELOWOPENING') end
if fold[3] and amount < tonumber(fold[3]) + 1 then return 0 end
local seq = tonumber(fold[4]) + 1
redis.call('XADD', KEYS[2], '0-' .. seq, 'kind', 'bid', 'payload', ARGV[3])
redis.call('HSET', KEYS[1], 'highest', ARGV[1], 'bidder', ARGV[2], 'seq', seq)
return seq
";
/// Auctions opened in one round trip.
const OPEN_AT_A_TIME: usize = 1_000;

/// The server, over few connections.
pub(super) struct Redis {
    connections: Vec<MultiplexedConnection>,
    script: redis::Script,
    names: Vec<String>,
}

impl Redis {
    pub(super) async fn connect(socket: &Path, clients: usize) -> Result<Self, Failure> {
        let client = redis::Client::open(format!("redis+unix://{}", socket.display()))?;
        // A reply that waits for the disk may take longer than the default of half a second.
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        let mut connections = Vec::new();
        for _ in 0..clients.clamp(1, SHARED_CONNECTIONS) {
            connections.push(client.get_multiplexed_async_connection_with_config(&config).await?);
        }
        Ok(Redis { connections, script: redis::Script::new(BID), names: Vec::new() })
    }

    fn connection(&self, auction: usize) -> MultiplexedConnection {
        self.connections[auction % self.connections.len()].clone()
    }
}

impl Bidding for Redis {
    async fn open(&mut self, names: Vec<String>) -> Result<(), Failure> {
        let mut connection = self.connection(0);
        for names in names.chunks(OPEN_AT_A_TIME) {
            let mut pipe = redis::pipe();
            for name in names {
                let fields = [("opening", shape::OPENING), ("seq", 1)];
                pipe.hset_multiple(format!("auction:{name}"), &fields).ignore();
                let add = pipe.cmd("XADD").arg(format!("events:{name}")).arg("0-1");
                add.arg("kind").arg("open").arg("payload").arg(shape::OPEN).ignore();
            }
            pipe.query_async::<()>(&mut connection).await?;
        }
        self.names = names;
        Ok(())
    }

    async fn bid(&self, client: usize, auction: usize, amounts: &Amounts) -> Result<u64, Failure> {
        let mut connection = self.connection(auction);
        let name = &self.names[auction];
        let mut retries = 0;
        loop {
            let amount = amounts.next();
            let mut call = self.script.prepare_invoke();
            call.key(format!("auction:{name}")).key(format!("events:{name}"));
            call.arg(amount * 100).arg(format!("bidder-{client}")).arg(shape::bid(client, amount));
            let seq: i64 = call.invoke_async(&mut connection).await?;
            if seq > 0 {
                return Ok(retries);
            }
            retries += 1;
        }
    }
}
