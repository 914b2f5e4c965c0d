//! What the property tests of the domain share: arbitrary values of each kind, and made chains.
#![allow(dead_code, reason = "each test uses a part of it")]

use atomic_store_core::protocol::{
    Admitted, At, ClientFrame, Ended, Entry, Replay, Reply, Request, RequestError, ScopeInfo,
    StoreId, StoreStatus, VerifyReport,
};
use atomic_store_core::record::{Body, BodyOut, Record, placed};
use atomic_store_core::{
    Answer, Append, AppendId, Binding, Check, CheckResult, Committed, Condition, ContentType,
    Description, Digest, ExpectedHead, Fault, FaultKind, Filter, Grants, Key, LoadOptions, Outcome,
    Overload, Place, Position, Proposal, Reason, Refusal, RuleInfo, ScopeName, ScopePattern, Seq,
    Span, ValidatorName, ValidatorRef, chain,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// So many cases, and nothing written beside the sources: a failure prints its smallest input.
/// `PROPTEST_CASES` and `PROPTEST_RNG_SEED` change the run.
pub fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

pub fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..40)
}

pub fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z:/-]{1,12}", "\\PC{0,12}"]
}

pub fn scope() -> impl Strategy<Value = ScopeName> {
    "\\$?[A-Za-z0-9._:/@+~-]{1,30}".prop_map(|text| ScopeName::new(&text).unwrap())
}

pub fn pattern() -> impl Strategy<Value = ScopePattern> {
    prop_oneof![Just("*".to_owned()), "[A-Za-z0-9._:/@+~-]{1,30}\\*?"]
        .prop_map(|text| ScopePattern::new(&text).unwrap())
}

pub fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

pub fn content_type() -> impl Strategy<Value = ContentType> {
    prop_oneof![
        Just(ContentType::Json),
        Just(ContentType::Postcard),
        Just(ContentType::Bytes),
        Just(ContentType::Text),
        text().prop_map(ContentType::Other),
    ]
}

pub fn key() -> impl Strategy<Value = Key> {
    (text(), text()).prop_map(|(kind, id)| Key { kind, id })
}

pub fn proposal() -> impl Strategy<Value = Proposal> {
    let keys = || vec(key(), 0..3);
    let metadata = vec((text(), text()), 0..3);
    let parts = (text(), content_type(), bytes(), keys(), keys(), metadata, any::<Option<u64>>());
    parts.prop_map(|(kind, content_type, payload, keys, triggers, metadata, caller_ms)| Proposal {
        kind,
        content_type,
        payload,
        keys,
        triggers,
        metadata,
        caller_ms,
    })
}

pub fn expected_head() -> impl Strategy<Value = ExpectedHead> {
    any::<Option<u64>>()
        .prop_map(|head| head.map_or(ExpectedHead::Any, |n| ExpectedHead::Exactly(Seq(n))))
}

pub fn append() -> impl Strategy<Value = Append> {
    let id = any::<[u8; 16]>().prop_map(AppendId);
    let how = (any::<(bool, bool)>(), any::<u64>(), option::of(condition()));
    (scope(), id, how, expected_head(), vec(proposal(), 0..4)).prop_map(
        |(scope, id, ((repeated, dry_run), known, condition), expected_head, proposals)| Append {
            scope,
            id,
            repeated,
            expected_head,
            condition,
            dry_run,
            known: Seq(known),
            proposals,
        },
    )
}

fn condition() -> impl Strategy<Value = Condition> {
    let resolved = vec(any::<u64>().prop_map(Seq), 0..4);
    (any::<u64>(), resolved, vec(key(), 0..3), any::<bool>()).prop_map(
        |(since, resolved, keys, all)| Condition { since: Seq(since), resolved, keys, all },
    )
}

fn filter() -> impl Strategy<Value = Filter> {
    let keys = || vec(key(), 0..3);
    let words = || vec(text(), 0..3);
    let span =
        || any::<(Option<u64>, Option<u64>)>().prop_map(|(from, until)| Span { from, until });
    (keys(), words(), words(), keys(), span(), span()).prop_map(
        |(keys, key_kinds, kinds, triggers, caller_ms, host_ms)| Filter {
            keys,
            key_kinds,
            kinds,
            triggers,
            caller_ms,
            host_ms,
        },
    )
}

fn replay() -> impl Strategy<Value = Replay> {
    let all = [Replay::Off, Replay::Touched, Replay::TouchedAndEffects];
    proptest::sample::select(all.to_vec())
}

fn at() -> impl Strategy<Value = At> {
    prop_oneof![
        Just(At::Head),
        any::<u64>().prop_map(|seq| At::Seq(Seq(seq))),
        any::<u64>().prop_map(At::Time),
    ]
}

fn reason() -> impl Strategy<Value = Reason> {
    let seqs = vec(any::<u64>().prop_map(Seq), 0..4);
    (text(), text(), option::of(bytes()), seqs).prop_map(|(code, message, data, seqs)| Reason {
        code,
        message,
        data,
        seqs,
    })
}

fn place() -> impl Strategy<Value = Place> {
    any::<(u64, u64)>()
        .prop_map(|(seq, position)| Place { seq: Seq(seq), position: Position(position) })
}

fn committed() -> impl Strategy<Value = Outcome> {
    (place(), place(), digest(), option::of(text()), option::of(bytes())).prop_map(
        |(first, last, hash, reason, meta)| {
            Outcome::Committed(Committed { first, last, hash, reason, meta })
        },
    )
}

fn fault() -> impl Strategy<Value = Outcome> {
    let kinds = [
        FaultKind::Trap,
        FaultKind::OutOfFuel,
        FaultKind::OutOfMemory,
        FaultKind::Timeout,
        FaultKind::BadOutput,
    ];
    (proptest::sample::select(kinds.to_vec()), text())
        .prop_map(|(kind, detail)| Outcome::Faulted(Fault { kind, detail }))
}

pub fn outcome() -> impl Strategy<Value = Outcome> {
    let full = [Overload::Mailbox, Overload::InFlight, Overload::Disk, Overload::Instances];
    prop_oneof![
        committed(),
        option::of(text()).prop_map(|reason| Outcome::Noop { reason }),
        (any::<u32>(), vec(reason(), 0..3), option::of(bytes()))
            .prop_map(|(index, reasons, meta)| Outcome::Rejected(Refusal { index, reasons, meta })),
        (expected_head(), any::<u64>())
            .prop_map(|(expected, n)| Outcome::HeadMismatch { expected, actual: Seq(n) }),
        any::<u64>().prop_map(|after_ms| Outcome::TimedOut { after_ms }),
        fault(),
        proptest::sample::select(full.to_vec()).prop_map(Outcome::Overloaded),
        text().prop_map(|why| Outcome::ReadOnly { why }),
        (text(), text()).prop_map(|(field, why)| Outcome::Invalid { field, why }),
        text().prop_map(|why| Outcome::Unknown { why }),
    ]
}

pub fn answer() -> impl Strategy<Value = Answer> {
    (outcome(), any::<bool>()).prop_map(|(outcome, duplicate)| Answer { outcome, duplicate })
}

fn validator_name() -> impl Strategy<Value = ValidatorName> {
    "[a-z0-9-]{1,20}".prop_map(|text| ValidatorName::new(&text).unwrap())
}

pub fn validator_ref() -> impl Strategy<Value = ValidatorRef> {
    prop_oneof![
        (validator_name(), option::of("[0-9]{1,3}(\\.[0-9]{1,3}){0,2}"))
            .prop_map(|(name, version)| ValidatorRef::Named { name, version }),
        "[0-9a-f]{12,64}".prop_map(ValidatorRef::Digest),
    ]
}

fn rule_info() -> impl Strategy<Value = RuleInfo> {
    let kinds = vec((text(), option::of(text())), 0..3);
    let description = (validator_name(), "[0-9]\\.[0-9]\\.[0-9]", kinds)
        .prop_map(|(name, version, kinds)| Description { name, version, kinds });
    (digest(), description, any::<u64>(), any::<bool>()).prop_map(
        |(digest, description, bytes, built_in)| RuleInfo { digest, description, bytes, built_in },
    )
}

fn load_options() -> impl Strategy<Value = LoadOptions> {
    let flags = any::<(bool, bool, bool)>();
    (flags, option::of(bytes()), option::of(pattern()), option::of(bytes())).prop_map(
        |((wasi, strict, check_only), signature, recorded, config)| LoadOptions {
            wasi,
            strict,
            check_only,
            signature,
            recorded,
            config,
        },
    )
}

fn admitted() -> impl Strategy<Value = Admitted> {
    let result = prop_oneof![
        Just(CheckResult::Passed),
        Just(CheckResult::Skipped),
        Just(CheckResult::Failed),
    ];
    let check = (text(), result, text(), option::of(proposal()))
        .prop_map(|(name, result, detail, input)| Check { name, result, detail, input });
    let grants = (any::<bool>(), option::of(text()))
        .prop_map(|(wasi, signed_by)| Grants { wasi, signed_by });
    let what = (rule_info(), any::<bool>(), vec(binding(), 0..3), grants, vec(check, 0..3));
    what.prop_map(|(info, new, bindings, grants, checks)| Admitted {
        info,
        new,
        bindings,
        grants,
        checks,
    })
}

fn binding() -> impl Strategy<Value = Binding> {
    (pattern(), digest(), option::of(bytes()), any::<u64>()).prop_map(
        |(pattern, validator, config, seq)| Binding { pattern, validator, config, seq: Seq(seq) },
    )
}

fn resume() -> impl Strategy<Value = Request> {
    let numbers = any::<(u64, u64, u64, Option<u64>)>();
    let resume = (scope(), numbers, filter(), replay());
    resume.prop_map(|(scope, (after, through, past, limit), filter, replay)| {
        let (after, through, past) = (Seq(after), Seq(through), Seq(past));
        Request::ResumeReplay { scope, after, through, past, limit, filter, replay }
    })
}

pub fn request() -> impl Strategy<Value = Request> {
    let read = (scope(), any::<(u64, u64, u64, bool)>(), filter(), replay());
    let order = (any::<(u64, u64, u64, bool)>(), filter());
    let calls = prop_oneof![
        append().prop_map(Request::Append),
        read.prop_map(|(scope, (after, through, limit, backwards), filter, replay)| {
            let (after, through) = (Seq(after), Seq(through));
            Request::Read { scope, after, through, limit, backwards, filter, replay }
        }),
        order.prop_map(|((after, through, limit, backwards), filter)| {
            let (after, through) = (Position(after), Position(through));
            Request::ReadOrder { after, through, limit, backwards, filter }
        }),
        (scope(), any::<u64>(), filter(), replay()).prop_map(|(scope, after, filter, replay)| {
            Request::Subscribe { scope, after: Seq(after), filter, replay }
        }),
        (any::<u64>(), filter())
            .prop_map(|(after, filter)| Request::SubscribeOrder { after: Position(after), filter }),
        resume(),
        any::<u64>().prop_map(|call| Request::Cancel { call }),
        scope().prop_map(|scope| Request::ShowScope { scope }),
        (any::<bool>(), text(), text(), any::<u64>()).prop_map(|(live, prefix, after, limit)| {
            Request::ListScopes { live, prefix, after, limit }
        }),
    ];
    let admin = prop_oneof![
        (bytes(), any::<bool>()).prop_map(|(part, last)| Request::LoadValidator { part, last }),
        (bytes(), option::of(load_options()))
            .prop_map(|(part, last)| Request::AdmitValidator { part, last }),
        validator_ref().prop_map(|validator| Request::ShowAdmission { validator }),
        Just(Request::ListValidators),
        validator_ref().prop_map(|validator| Request::ShowValidator { validator }),
        (pattern(), validator_ref(), option::of(bytes()))
            .prop_map(|(pattern, validator, config)| Request::Bind { pattern, validator, config }),
        pattern().prop_map(|pattern| Request::Unbind { pattern }),
        (scope(), text(), bytes(), at()).prop_map(|(scope, name, args, at)| Request::Query {
            scope,
            name,
            args,
            at
        }),
        option::of(scope()).prop_map(|scope| Request::Verify { scope }),
        Just(Request::Status),
    ];
    prop_oneof![calls, admin]
}

pub fn client_frame() -> impl Strategy<Value = ClientFrame> {
    (any::<u64>(), request()).prop_map(|(call, request)| ClientFrame { call, request })
}

fn scope_info() -> impl Strategy<Value = ScopeInfo> {
    let parts =
        (scope(), any::<u64>(), digest(), option::of(binding()), any::<bool>(), option::of(text()));
    let more = any::<(bool, u64, u64)>();
    (parts, more).prop_map(
        |((name, head, hash, binding, live, sealed), (damaged, floor, bytes))| {
            let (head, floor) = (Seq(head), Seq(floor));
            ScopeInfo { name, head, hash, binding, live, sealed, damaged, floor, bytes }
        },
    )
}

fn ended() -> impl Strategy<Value = Ended> {
    prop_oneof![
        any::<(u64, u64)>().prop_map(|(seq, position)| Ended::SlowReader {
            resume_after: Seq(seq),
            resume_position: Position(position)
        }),
        Just(Ended::Shutdown),
        text().prop_map(|what| Ended::Damaged { what }),
    ]
}

fn request_error() -> impl Strategy<Value = RequestError> {
    prop_oneof![
        (text(), text()).prop_map(|(field, why)| RequestError::Invalid { field, why }),
        text().prop_map(RequestError::NotFound),
        text().prop_map(RequestError::NotAdmitted),
        text().prop_map(RequestError::Overloaded),
        text().prop_map(RequestError::Damaged),
        text().prop_map(RequestError::Failed),
        text().prop_map(RequestError::Goodbye),
    ]
}

fn status() -> impl Strategy<Value = StoreStatus> {
    let numbers = any::<(u64, u64, u64, u64, u64)>();
    let options = (vec((text(), text()), 0..3), any::<u64>());
    (any::<[u8; 16]>(), text(), numbers, option::of(text()), options).prop_map(
        |(store, version, (position, commits, scopes, live, in_flight), read_only, options)| {
            StoreStatus {
                store: StoreId(store),
                version,
                position: Position(position),
                commits,
                scopes,
                live,
                in_flight,
                read_only,
                options: options.0,
                options_since: Seq(options.1),
            }
        },
    )
}

pub fn reply() -> impl Strategy<Value = Reply> {
    let entry = (option::of(scope()), any::<bool>(), bytes())
        .prop_map(|(scope, replayed, record)| Entry { scope, replayed, record: record.into() });
    let data = prop_oneof![
        any::<[u8; 16]>()
            .prop_map(|id| Reply::Welcome { store: StoreId(id), limits: Box::default() }),
        answer().prop_map(Reply::Answer),
        vec(entry, 0..4).prop_map(Reply::Events),
        any::<(u64, u64)>().prop_map(|(seq, position)| {
            Reply::Scanned { seq: Seq(seq), position: Position(position) }
        }),
        any::<(u64, u64)>().prop_map(|(after, through)| {
            Reply::Replaying { after: Seq(after), through: Seq(through) }
        }),
        Just(Reply::Done),
        ended().prop_map(Reply::Ended),
        option::of(scope_info()).prop_map(Reply::Scope),
        vec(scope_info(), 0..3).prop_map(Reply::Scopes),
        (any::<u64>(), bytes())
            .prop_map(|(n, ok)| Reply::State { head: Seq(n), answer: Ok(ok.into()) }),
        (any::<u64>(), text()).prop_map(|(n, why)| Reply::State { head: Seq(n), answer: Err(why) }),
    ];
    let admin = prop_oneof![
        (rule_info(), any::<bool>(), vec(binding(), 0..3))
            .prop_map(|(info, new, bindings)| Reply::Validator { info, new, bindings }),
        (vec(rule_info(), 0..3), vec(binding(), 0..3))
            .prop_map(|(loaded, bindings)| Reply::Validators { loaded, bindings }),
        admitted().prop_map(|admitted| Reply::Admitted(Box::new(admitted))),
        binding().prop_map(Reply::Bound),
        any::<(u64, u64, u64)>().prop_map(|(scopes, of_scopes, events)| Reply::Progress {
            scopes,
            of_scopes,
            events
        }),
        (any::<(u64, u64, u64)>(), vec(text(), 0..3)).prop_map(
            |((scopes, events, bytes), damage)| {
                Reply::Verified(VerifyReport { scopes, events, bytes, damage })
            }
        ),
        status().prop_map(|status| Reply::Status(Box::new(status))),
        request_error().prop_map(Reply::Error),
    ];
    prop_oneof![data, admin]
}

/// The body that stores a proposal.
pub fn body(seq: u64, proposal: &Proposal) -> BodyOut<'_> {
    Body {
        seq: Seq(seq),
        kind: &proposal.kind,
        content_type: proposal.content_type.clone(),
        payload: &proposal.payload,
        keys: &proposal.keys,
        triggers: &proposal.triggers,
        metadata: &proposal.metadata,
        caller_ms: proposal.caller_ms,
        host_ms: 1_700_000_000_000 + seq,
        append_id: AppendId([u8::try_from(seq % 251).unwrap(); 16]),
        validator: Digest([3; 32]),
        binding: Seq(2),
    }
}

/// The records of a scope that holds these proposals, in positions with gaps.
pub fn records(scope: &ScopeName, proposals: &[Proposal]) -> Vec<Vec<u8>> {
    let mut hash = chain::genesis(scope);
    let mut records = Vec::new();
    for (proposal, seq) in proposals.iter().zip(1..) {
        let record = Record::encode(&hash, &body(seq, proposal)).unwrap();
        hash = record.hash();
        records.push(placed(record.as_bytes(), Position(seq * 3), &mut Vec::new()).to_vec());
    }
    records
}
