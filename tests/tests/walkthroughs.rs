//! The walk-throughs of the READMEs of the older systems, run as a reader would run them, with the
//! results that those READMEs print.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "../examples/atomic_store.rs"]
mod atomic_store_walk;
#[path = "../examples/eventsourced.rs"]
mod eventsourced_walk;
#[path = "../examples/eventsrc.rs"]
mod eventsrc_walk;

use atomic_store_tests::guest;
use std::path::Path;

fn printed(walk: impl FnOnce(&Path, &mut Vec<u8>)) -> String {
    let directory = tempfile::tempdir().unwrap();
    let mut out = Vec::new();
    walk(&directory.path().join("store"), &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn the_walk_through_atomic_store() {
    let out = printed(|store, out| atomic_store_walk::run(store, &guest("auction"), out));
    assert_eq!(
        out,
        r#"QueryEvents: 0 in auction/1
Result: accepted {"bidder":"ann","amount":"12.50","opening":"10.00"} as event 1
Result: not accepted {"bidder":"bob","amount":"12.00"}: too-low
Result: accepted {"bidder":"bob","amount":"13.00"} as event 2
Result: accepted {"bidder":"ann","amount":"12.50","opening":"10.00"} as event 1
  1 {"bidder":"ann","amount":"12.50","opening":"10.00"}
  2 {"bidder":"bob","amount":"13.00"}
QueryEvents: 2 in auction/1
  1 {"bidder":"ann","amount":"12.50","opening":"10.00"}
QueryEvents: 1 in auction/2
"#
    );
}

#[test]
fn the_walk_through_eventsourced() {
    let out = printed(|store, out| eventsourced_walk::run(store, &guest("door"), out));
    assert_eq!(
        out,
        r#"[processor] event = foo (1)
[door] the door moved: 1 so far
[door] the door moved: 2 so far
[door] cannot close door
[processor] event = foo (1)
[processor] event = foo (2)
[door] the door moved: 3 so far
[door] the door moved: 4 so far
[door] a door does not "blah"
[processor] event = foo (1)
"#
    );
}

#[test]
fn the_walk_through_eventsrc() {
    let out = printed(|store, out| eventsrc_walk::run(store, out));
    assert_eq!(
        out,
        "after event 0: []
Success(1, retries 0)
Success(2, retries 0)
after event 2: [fred <fred@example.com>, wilma <wilma@example.com>]
Reject(fred is there already)
Success(3, retries 0)
Reject(there is no fred)
after event 3: [wilma <wilma@example.com>]
after event 2: [fred <fred@example.com>, wilma <wilma@example.com>]
after event 1: [fred <fred@example.com>]
"
    );
}
