//! The rules, tested natively.

use super::Auction;
use atomic_store_guest::testing::{Harness, event, json, proposal};

fn auction() -> Harness<Auction> {
    Harness::new()
}

#[test]
fn a_bid_must_beat_the_highest() {
    let mut auction = auction();
    auction.propose("bid", json!({"bidder": "jake", "amount": 95.00, "opening": 95})).accepted();
    auction.propose("bid", json!({"bidder": "dave", "amount": "115", "opening": "95"})).accepted();
    let reason = auction.propose("bid", json!({"bidder": "glad", "amount": 100, "opening": 95}));
    let reason =
        reason.rejected_because("too-low", "the highest bid is 115.00; bid at least 115.01");
    assert_eq!(reason.seqs, [2], "it names the bid that stands in the way");
    auction.propose("bid", json!({"bidder": "glad", "amount": 115})).rejected("too-low");
    auction.propose("bid", json!({"bidder": "glad", "amount": "115.01"})).accepted();
    assert_eq!(auction.events().len(), 3);
}

#[test]
fn the_first_opening_bid_holds() {
    let mut auction = auction();
    let low = json!({"bidder": "ann", "amount": 9.99, "opening": 10});
    auction.propose("bid", low).rejected_because("below-opening", "the opening bid is 10.00");
    // The refused bid is not in the log, so it has fixed nothing.
    auction.propose("bid", json!({"bidder": "bob", "amount": 10, "opening": 10})).accepted();
    auction.propose("bid", json!({"bidder": "eve", "amount": 11, "opening": 50})).accepted();

    let mut opened = self::auction();
    opened.propose("open", json!({"opening": "95"})).accepted();
    opened.propose("open", json!({"opening": "1"})).rejected("already-open");
    let own = json!({"bidder": "eve", "amount": 1, "opening": "0.01"});
    opened.propose("bid", own).rejected("below-opening");
    opened.propose("bid", json!({"bidder": "eve", "amount": 95})).accepted();
}

#[test]
fn without_an_opening_bid_any_amount_opens_and_none_can_be_set_afterwards() {
    let mut auction = auction();
    auction.propose("bid", json!({"bidder": "ann", "amount": 0})).accepted();
    auction.propose("bid", json!({"bidder": "bob", "amount": 0})).rejected("too-low");
    auction.propose("open", json!({"opening": 5})).rejected("already-open");
}

#[test]
fn an_increment_can_be_configured() {
    let mut auction = Harness::<Auction>::with_config(json!({"increment": "0.50"}));
    auction.given([event("bid", json!({"bidder": "ann", "amount": 10}))]);
    auction.propose("bid", json!({"bidder": "bob", "amount": 10.49})).rejected("too-low");
    auction.propose("bid", json!({"bidder": "bob", "amount": 10.50})).accepted();

    for wrong in [&br#"{"increment":"0.005"}"#[..], br#"{"step":1}"#, b"", b"\xff"] {
        let refused = Harness::<Auction>::start("auction/1", Some(wrong)).err();
        assert!(refused.is_some_and(|why| why.contains("configuration")), "{wrong:?}");
    }
}

#[test]
fn nothing_follows_the_close() {
    let mut auction = auction();
    auction.given([event("bid", json!({"bidder": "ann", "amount": 10}))]);
    auction.propose("close", ()).accepted();
    for kind in ["bid", "close", "open", "anything"] {
        let reason = auction.propose(kind, json!({})).rejected("closed");
        assert_eq!(reason.seqs, [2]);
    }
}

#[test]
fn a_batch_sees_its_earlier_members() {
    let bid = |amount: &str| proposal("bid", format!(r#"{{"bidder":"ann","amount":{amount}}}"#));
    let mut auction = auction();
    auction.propose_all([bid("1"), bid("2"), bid("2")]).rejected_at(2, "too-low");
    assert!(auction.events().is_empty(), "all or nothing");
    auction.propose_all([bid("1"), bid("2"), proposal("close", "")]).accepted();
    auction.propose_all([bid("3")]).rejected("closed");
}

#[test]
fn bad_input_is_rejected_with_a_reason() {
    let mut auction = auction();
    for payload in ["", "{", "null", "[]", "{}", r#"{"bidder":"a","amount":-1}"#, "\u{0}"] {
        auction.propose_all([proposal("bid", payload)]).rejected("malformed");
    }
    auction.propose("open", json!({})).rejected("malformed");
    auction.propose("offer", json!({})).rejected("unknown-kind");
}

#[test]
fn the_highest_bid_can_be_asked() {
    let mut auction = auction();
    assert_eq!(auction.query("highest", ""), Ok(b"null".to_vec()));
    auction.given([event("bid", json!({"bidder": 11860256, "amount": "117.5"}))]);
    let highest = auction.query("highest", "").expect("an answer");
    assert_eq!(
        String::from_utf8_lossy(&highest),
        r#"{"amount":"117.50","bidder":"11860256","seq":1}"#
    );
    assert!(auction.query("lowest", "").is_err());
}

#[test]
fn a_command_bids_what_is_enough_up_to_the_most() {
    let mut auction = auction();
    auction.propose("open", json!({"opening": 10})).accepted();
    auction.propose("outbid", json!({"bidder": "ann", "most": 9.99})).rejected("below-opening");
    auction.propose("outbid", json!({"bidder": "ann", "most": 20})).accepted();
    let reason = auction.propose("outbid", json!({"bidder": "bob", "most": 10}));
    let data = reason.rejected("too-low").data.expect("what would be enough");
    assert_eq!(data, br#"{"least":"10.01"}"#);
    auction.propose("outbid", json!({"bidder": "bob", "most": 20})).accepted();
    let stored = auction.events().last().expect("an event");
    assert_eq!((stored.kind.as_str(), stored.seq), ("bid", 3));
    assert_eq!(stored.payload, br#"{"bidder":"bob","amount":"10.01"}"#);
}

#[test]
fn an_array_is_not_taken_for_the_fields_of_a_bid() {
    auction().propose("bid", json!(["ann", 95, null])).rejected("malformed");
}
