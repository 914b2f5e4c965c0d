//! New append ids: UUIDs of version 7, which sort by time, so that the store's index of them stays
//! local.
//!
//! Random bits are drawn once per client and then counted up: that keeps ids of one client apart
//! without a system call for each.

use atomic_store_core::AppendId;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::{Builder, Uuid};

/// Makes ids that no other client makes.
#[derive(Debug)]
pub(crate) struct Ids {
    fixed: [u8; 2],
    count: AtomicU64,
}

impl Ids {
    pub(crate) fn new() -> Self {
        // Version 7 has 74 random bits; two of them, mixed, give the 80 that are needed here.
        let (a, b) = (Uuid::now_v7(), Uuid::now_v7());
        let mut seed = [0; 10];
        for (at, byte) in seed.iter_mut().enumerate() {
            *byte = a.as_bytes()[6 + at] ^ b.as_bytes()[15 - at].rotate_left(3);
        }
        let [x, y, count @ ..] = seed;
        Ids { fixed: [x, y], count: AtomicU64::new(u64::from_be_bytes(count)) }
    }

    pub(crate) fn next(&self) -> AppendId {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let mut random = [0; 10];
        random[..2].copy_from_slice(&self.fixed);
        random[2..].copy_from_slice(&self.count.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        AppendId(Builder::from_unix_timestamp_millis(millis, &random).into_uuid().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_of_two_clients_differ_and_are_uuids() {
        let clients = [Ids::new(), Ids::new()];
        let ids: HashSet<_> = (0..20_000).map(|n: usize| clients[n % 2].next()).collect();
        assert_eq!(ids.len(), 20_000);
        assert!(ids.iter().all(|id| Uuid::from_bytes(id.0).get_version_num() == 7));
    }
}
