//! Caps on values: each allows its own number and refuses one more, under the field's name.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store_core::{
    Append, AppendId, Condition, ContentType, Filter, Invalid, Key, Limits, Proposal, Reason,
    ScopeName, Seq,
};

fn append(proposals: Vec<Proposal>) -> Append {
    Append::new(ScopeName::new("a").unwrap(), AppendId([1; 16]), proposals)
}

fn plain() -> Proposal {
    Proposal::json("x", "")
}

fn text(bytes: usize) -> String {
    "x".repeat(bytes)
}

fn keys(count: usize, kind: usize, id: usize) -> Vec<Key> {
    vec![Key { kind: text(kind), id: text(id) }; count]
}

/// Checks a proposal on its own and as a part of an append, which must agree.
fn proposal(limits: &Limits, proposal: Proposal) -> Result<(), Invalid> {
    let alone = limits.check_proposal(&proposal);
    assert_eq!(limits.check_append(&append(vec![proposal])), alone);
    alone
}

/// Checks a condition on its own and as a part of an append, which must agree.
fn condition(limits: &Limits, change: impl FnOnce(&mut Condition)) -> Result<(), Invalid> {
    let mut condition = Condition::since(Seq(3));
    change(&mut condition);
    let alone = limits.check_condition(&condition);
    let append = Append { condition: Some(condition), ..append(vec![plain()]) };
    assert_eq!(limits.check_append(&append), alone);
    alone
}

fn reasons(limits: &Limits, change: impl FnOnce(&mut Vec<Reason>)) -> Result<(), Invalid> {
    let reason = Reason { code: text(1), message: String::new(), data: None, seqs: Vec::new() };
    let mut reasons = vec![reason];
    change(&mut reasons);
    limits.check_reasons(&reasons)
}

/// An append of so many bytes in all, in proposals that are small enough each.
fn append_of(limits: &Limits, bytes: usize) -> Result<(), Invalid> {
    let each = limits.payload_bytes_max;
    let mut proposals = vec![Proposal::json("x", vec![0; each - 1]); bytes / each];
    if !bytes.is_multiple_of(each) {
        proposals.push(Proposal::json("x", vec![0; bytes % each - 1]));
    }
    assert_eq!(proposals.iter().map(Proposal::size).sum::<usize>(), bytes);
    limits.check_append(&append(proposals))
}

type Check = fn(&Limits, usize) -> Result<(), Invalid>;

/// The cap, its value, the field that is named when it is broken, and something of a size.
type Row = (&'static str, usize, &'static str, Check);

#[rustfmt::skip]
fn table(limits: &Limits) -> Vec<Row> {
    let l = limits;
    vec![
        ("payload_bytes_max", l.payload_bytes_max, "payload",
            |l, n| proposal(l, Proposal::json("x", vec![0; n]))),
        ("append_events_max", l.append_events_max, "proposals",
            |l, n| l.check_append(&append(vec![plain(); n]))),
        ("append_bytes_max", l.append_bytes_max, "proposals", append_of),
        ("kind_bytes_max", l.kind_bytes_max, "kind",
            |l, n| proposal(l, Proposal::json(&text(n), ""))),
        ("content_type_bytes_max", l.content_type_bytes_max, "content_type",
            |l, n| proposal(l, Proposal { content_type: ContentType::Other(text(n)), ..plain() })),
        ("keys_max", l.keys_max, "keys",
            |l, n| proposal(l, Proposal { keys: keys(n, 1, 1), ..plain() })),
        ("keys_max", l.keys_max, "triggers",
            |l, n| proposal(l, Proposal { triggers: keys(n, 1, 1), ..plain() })),
        ("key_bytes_max", l.key_bytes_max, "keys",
            |l, n| proposal(l, Proposal { keys: keys(1, n, 1), ..plain() })),
        ("key_bytes_max", l.key_bytes_max, "keys",
            |l, n| proposal(l, Proposal { keys: keys(1, 1, n), ..plain() })),
        ("key_bytes_max", l.key_bytes_max, "triggers",
            |l, n| proposal(l, Proposal { triggers: keys(1, 1, n), ..plain() })),
        ("keys_max", l.keys_max, "condition keys",
            |l, n| condition(l, |c| c.keys = keys(n, 1, 1))),
        ("key_bytes_max", l.key_bytes_max, "condition keys",
            |l, n| condition(l, |c| c.keys = keys(1, n, 1))),
        ("key_bytes_max", l.key_bytes_max, "condition keys",
            |l, n| condition(l, |c| c.keys = keys(1, 1, n))),
        ("resolved_max", l.resolved_max, "resolved",
            |l, n| condition(l, |c| c.resolved = vec![Seq(7); n])),
        ("metadata_max", l.metadata_max, "metadata",
            |l, n| proposal(l, Proposal { metadata: vec![(text(1), text(0)); n], ..plain() })),
        ("metadata_bytes_max", l.metadata_bytes_max, "metadata",
            |l, n| proposal(l, Proposal { metadata: vec![(text(n), text(0))], ..plain() })),
        ("metadata_bytes_max", l.metadata_bytes_max, "metadata",
            |l, n| proposal(l, Proposal { metadata: vec![(text(1), text(n))], ..plain() })),
        ("reasons_max", l.reasons_max, "reasons",
            |l, n| reasons(l, |r| *r = vec![r[0].clone(); n])),
        ("reason_code_bytes_max", l.reason_code_bytes_max, "reason code",
            |l, n| reasons(l, |r| r[0].code = text(n))),
        ("reason_message_bytes_max", l.reason_message_bytes_max, "reason message",
            |l, n| reasons(l, |r| r[0].message = text(n))),
        ("reason_message_bytes_max", l.reason_message_bytes_max, "reason",
            |l, n| l.check_message("reason", &text(n))),
        ("answer_data_bytes_max", l.answer_data_bytes_max, "reason data",
            |l, n| reasons(l, |r| r[0].data = Some(vec![0; n]))),
        ("answer_data_bytes_max", l.answer_data_bytes_max, "meta",
            |l, n| l.check_answer_data("meta", Some(&vec![0; n]))),
        ("append_events_max", l.append_events_max, "reason seqs",
            |l, n| reasons(l, |r| r[0].seqs = vec![Seq(1); n])),
        ("query_args_bytes_max", l.query_args_bytes_max, "query",
            |l, n| l.check_query("", &vec![0; n])),
        ("query_args_bytes_max", l.query_args_bytes_max, "query",
            |l, n| l.check_query(&text(n - 1), &[0])),
        ("query_answer_bytes_max", l.query_answer_bytes_max, "query answer",
            |l, n| l.check_query_answer(&vec![0; n])),
        ("what_if_batches_max", l.what_if_batches_max, "batches",
            |l, n| l.check_what_if(&ScopeName::new("a").unwrap(), &vec![vec![Proposal::json("k", "1")]; n])),
        ("component_bytes_max", l.component_bytes_max, "component",
            |l, n| l.check_component(n)),
        ("config_bytes_max", l.config_bytes_max, "config",
            |l, n| l.check_config(Some(&vec![0; n]))),
        ("restore_records_max", l.restore_records_max, "records", |l, n| l.check_restore(n, 0)),
        ("restore_bytes_max", l.restore_bytes_max, "records", |l, n| l.check_restore(1, n)),
        ("snapshot_bytes_max", l.snapshot_bytes_max, "snapshot",
            |l, n| l.check_snapshot(&vec![0; n])),
    ]
}

#[rustfmt::skip]
fn filters(l: &Limits) -> Vec<Row> {
    vec![
        ("filter_max", l.filter_max, "filter.keys",
            |l, n| l.check_filter(&Filter { keys: keys(n, 1, 1), ..Filter::default() })),
        ("filter_max", l.filter_max, "filter.triggers",
            |l, n| l.check_filter(&Filter { triggers: keys(n, 1, 1), ..Filter::default() })),
        ("filter_max", l.filter_max, "filter.kinds",
            |l, n| l.check_filter(&Filter { kinds: vec![text(1); n], ..Filter::default() })),
        ("filter_max", l.filter_max, "filter.key_kinds",
            |l, n| l.check_filter(&Filter { key_kinds: vec![text(1); n], ..Filter::default() })),
        ("key_bytes_max", l.key_bytes_max, "filter.keys",
            |l, n| l.check_filter(&Filter { keys: keys(1, n, 1), ..Filter::default() })),
        ("key_bytes_max", l.key_bytes_max, "filter.triggers",
            |l, n| l.check_filter(&Filter { triggers: keys(1, 1, n), ..Filter::default() })),
        ("key_bytes_max", l.key_bytes_max, "filter.key_kinds",
            |l, n| l.check_filter(&Filter { key_kinds: vec![text(n)], ..Filter::default() })),
        ("kind_bytes_max", l.kind_bytes_max, "filter.kinds",
            |l, n| l.check_filter(&Filter { kinds: vec![text(n)], ..Filter::default() })),
    ]
}

#[test]
fn each_value_may_be_as_large_as_its_cap_and_not_one_larger() {
    let limits = Limits::default();
    for (cap, max, field, check) in [table(&limits), filters(&limits)].concat() {
        assert_eq!(check(&limits, max), Ok(()), "{cap}: {max}");
        let invalid = check(&limits, max + 1).expect_err(cap);
        assert_eq!(invalid.field, field, "{cap}");
        let why = format!("{} ", max + 1);
        assert!(invalid.why.starts_with(&why), "{cap}: {}", invalid.why);
        assert!(invalid.why.contains(&format!("at most {max} are allowed")), "{}", invalid.why);
    }
}

#[test]
fn the_caps_are_those_of_the_store_and_no_constants() {
    // Every cap one higher allows what the default refuses.
    let limits = Limits::default();
    let higher = Limits {
        payload_bytes_max: limits.payload_bytes_max + 1,
        append_events_max: limits.append_events_max + 1,
        append_bytes_max: limits.append_bytes_max + 1,
        kind_bytes_max: limits.kind_bytes_max + 1,
        content_type_bytes_max: limits.content_type_bytes_max + 1,
        keys_max: limits.keys_max + 1,
        key_bytes_max: limits.key_bytes_max + 1,
        resolved_max: limits.resolved_max + 1,
        metadata_max: limits.metadata_max + 1,
        metadata_bytes_max: limits.metadata_bytes_max + 1,
        reasons_max: limits.reasons_max + 1,
        reason_code_bytes_max: limits.reason_code_bytes_max + 1,
        reason_message_bytes_max: limits.reason_message_bytes_max + 1,
        answer_data_bytes_max: limits.answer_data_bytes_max + 1,
        query_args_bytes_max: limits.query_args_bytes_max + 1,
        query_answer_bytes_max: limits.query_answer_bytes_max + 1,
        what_if_batches_max: limits.what_if_batches_max + 1,
        filter_max: limits.filter_max + 1,
        component_bytes_max: limits.component_bytes_max + 1,
        config_bytes_max: limits.config_bytes_max + 1,
        restore_records_max: limits.restore_records_max + 1,
        restore_bytes_max: limits.restore_bytes_max + 1,
        snapshot_bytes_max: limits.snapshot_bytes_max + 1,
        ..limits.clone()
    };
    for (cap, max, _, check) in table(&limits) {
        // The bytes of an append are cut into payloads of the cap, which is another one here.
        if cap != "append_bytes_max" {
            assert_eq!(check(&higher, max + 1), Ok(()), "{cap}");
        }
        assert!(check(&higher, max + 2).is_err(), "{cap}");
    }
}

#[test]
fn what_must_not_be_empty_is_refused_with_an_example() {
    let limits = Limits::default();
    let empty = [
        ("proposals", limits.check_append(&append(Vec::new()))),
        ("kind", proposal(&limits, Proposal::json("", "{}"))),
        ("keys", proposal(&limits, Proposal { keys: keys(1, 0, 1), ..plain() })),
        ("keys", proposal(&limits, Proposal { keys: keys(1, 1, 0), ..plain() })),
        ("triggers", proposal(&limits, Proposal { triggers: keys(1, 0, 1), ..plain() })),
        ("filter.keys", limits.check_filter(&Filter { keys: keys(1, 0, 1), ..Filter::default() })),
        (
            "filter.kinds",
            limits.check_filter(&Filter { kinds: vec![text(0)], ..Filter::default() }),
        ),
        ("condition keys", condition(&limits, |c| c.keys = keys(1, 1, 0))),
        ("resolved", condition(&limits, |c| c.resolved = vec![Seq(1), Seq::ZERO])),
        ("reasons", limits.check_reasons(&[])),
        ("component", limits.check_component(0)),
    ];
    for (field, result) in empty {
        assert_eq!(result.expect_err(field).field, field);
    }
    let mut reserved = append(vec![plain()]);
    reserved.scope = ScopeName::system();
    assert_eq!(limits.check_append(&reserved).expect_err("scope").field, "scope");
}
