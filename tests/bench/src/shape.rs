//! What the events look like: about 200 bytes of JSON.

use crate::rng::Rng;
use std::cell::Cell;

/// Bytes of a payload.
pub(crate) const PAYLOAD_BYTES: usize = 200;
/// The opening bid of all auctions, in cents and as payload.
pub(crate) const OPENING: i64 = 100;
/// The event that opens an auction.
pub(crate) const OPEN: &str = r#"{"opening":1}"#;

/// Amounts that rise, for all clients of a load process. Whole units; the rules count in cents.
#[derive(Debug, Default)]
pub(crate) struct Amounts(Cell<i64>);

impl Amounts {
    /// The next amount, higher than all before.
    pub(crate) fn next(&self) -> i64 {
        self.0.set(self.0.get() + 1);
        self.0.get()
    }
}

/// The letters of notes: 32, so that one takes five bits.
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz .,-'!";

/// A bid as payload. Its note differs from bid to bid and compresses badly: a store that compresses
/// must not look better here than in life.
pub(crate) fn bid(client: usize, amount: i64) -> String {
    let mut bid = format!(r#"{{"bidder":"bidder-{client}","amount":{amount},"note":""#);
    let mut rng = Rng::new(amount.unsigned_abs() << 16 ^ client as u64);
    let end = PAYLOAD_BYTES.saturating_sub(2);
    while bid.len() < end {
        let letters = rng.next();
        let room = (end - bid.len()).min(12);
        let letters = (0..room).map(|n| LETTERS[(letters >> (5 * n)) as usize % 32]);
        bid.extend(letters.map(char::from));
    }
    bid.push_str("\"}");
    bid
}

#[cfg(test)]
mod tests {
    use super::{PAYLOAD_BYTES, bid};

    #[test]
    fn a_bid_is_json_of_two_hundred_bytes() {
        for (client, amount) in [(0, 1), (1_023, 9_999_999)] {
            let bid = bid(client, amount);
            assert_eq!(bid.len(), PAYLOAD_BYTES);
            let value: serde_json::Value = serde_json::from_str(&bid).expect("JSON");
            assert_eq!(value["amount"], amount);
        }
    }
}
