//! Between the store's types and the contract's. Into a guest everything is borrowed; what comes
//! out is checked against the limits before anyone else sees it.

use super::bindings::{
    AcceptanceOut, DescriptionOut, EventIn, EventOwned, KeyIn, KeyOut, NewEventOut, PairIn,
    PairOut, ProposalIn, RefusalOut,
};
use crate::validator::{Acceptance, Verdict};
use atomic_store_core::record::BodyIn;
use atomic_store_core::{
    ContentType, Description, Invalid, Key, Limits, Proposal, Reason, Refusal, Seq, ValidatorName,
    counted,
};

/// Kinds that a component may describe.
const KINDS_MAX: usize = 256;
/// Bytes of a version.
const VERSION_BYTES_MAX: usize = 64;

/// A proposal, as the guest gets it.
pub(super) fn proposal(proposal: &Proposal, host_ms: u64) -> ProposalIn<'_> {
    ProposalIn {
        kind: &proposal.kind,
        content_type: proposal.content_type.as_str(),
        payload: &proposal.payload,
        keys: proposal.keys.iter().map(|key| KeyIn { kind: &key.kind, id: &key.id }).collect(),
        metadata: proposal.metadata.iter().map(|(name, value)| PairIn { name, value }).collect(),
        caller_ms: proposal.caller_ms,
        host_ms,
    }
}

/// An event, as the guest gets it to fold.
pub(super) fn event<'a>(event: &'a BodyIn<'a>) -> EventIn<'a> {
    EventIn {
        seq: event.seq.0,
        kind: event.kind,
        content_type: event.content_type.as_str(),
        payload: event.payload,
        keys: event.keys.iter().map(|key| KeyIn { kind: key.kind, id: key.id }).collect(),
        metadata: event.metadata.iter().map(|&(name, value)| PairIn { name, value }).collect(),
        caller_ms: event.caller_ms,
        host_ms: event.host_ms,
    }
}

/// An event, as the guest gets it from `history`.
pub(super) fn event_owned(event: &BodyIn<'_>) -> EventOwned {
    let key = |kind: &str, id: &str| KeyOut { kind: kind.to_owned(), id: id.to_owned() };
    let pair = |name: &str, value: &str| PairOut { name: name.to_owned(), value: value.to_owned() };
    EventOwned {
        seq: event.seq.0,
        kind: event.kind.to_owned(),
        content_type: event.content_type.as_str().to_owned(),
        payload: event.payload.to_owned(),
        keys: event.keys.iter().map(|found| key(found.kind, found.id)).collect(),
        metadata: event.metadata.iter().map(|&(name, value)| pair(name, value)).collect(),
        caller_ms: event.caller_ms,
        host_ms: event.host_ms,
    }
}

/// Bytes of an event in a page of history.
pub(super) fn event_size(event: &BodyIn<'_>) -> usize {
    const FIXED: usize = 64;
    let keys: usize = event.keys.iter().map(|key| key.kind.len() + key.id.len()).sum();
    let pairs: usize = event.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    FIXED + event.kind.len() + event.payload.len() + keys + pairs
}

/// A guest's answer to an append.
///
/// # Errors
/// [`Invalid`] names what breaks the contract.
pub(super) fn verdict(
    answer: Result<Vec<AcceptanceOut>, RefusalOut>,
    proposals: &[Proposal],
    limits: &Limits,
) -> Result<Verdict, Invalid> {
    match answer {
        Ok(acceptances) => accepted(acceptances, proposals, limits).map(Verdict::Accepted),
        Err(refusal) => refused(refusal, proposals, limits).map(Verdict::Refused),
    }
}

fn accepted(
    acceptances: Vec<AcceptanceOut>,
    proposals: &[Proposal],
    limits: &Limits,
) -> Result<Vec<Acceptance>, Invalid> {
    if acceptances.len() != proposals.len() {
        let (found, wanted) = (acceptances.len(), counted(proposals.len() as u64, "proposal"));
        let why = format!("{found} for {wanted}; there must be one for each");
        return Err(Invalid::new("acceptances", why));
    }
    let accepted: Vec<Acceptance> = acceptances
        .into_iter()
        .zip(proposals)
        .map(|(acceptance, proposal)| acceptance_of(acceptance, proposal, limits))
        .collect::<Result<_, _>>()?;
    check_total(&accepted, proposals, limits)?;
    Ok(accepted)
}

fn acceptance_of(
    out: AcceptanceOut,
    proposal: &Proposal,
    limits: &Limits,
) -> Result<Acceptance, Invalid> {
    if let Some(output) = out.outputs.first() {
        let channel = output.channel.chars().take(64).collect::<String>();
        let why = format!("this store has no channels, so none named {channel:?}");
        return Err(Invalid::new("outputs", why));
    }
    if let Some(reason) = &out.reason {
        limits.check_message("reason", reason)?;
    }
    limits.check_answer_data("meta", out.meta.as_deref())?;
    let instead = out.events.map(|events| {
        let each = events.into_iter().map(|event| {
            let event = replacement(event, proposal);
            limits.check_proposal(&event).map(|()| event)
        });
        each.collect::<Result<Vec<_>, _>>()
    });
    Ok(Acceptance { instead: instead.transpose()?, reason: out.reason, meta: out.meta })
}

/// An event in place of a proposal. What the contract's `new-event` does not carry is the
/// proposal's: the caller's time, and the outside causes.
fn replacement(event: NewEventOut, proposal: &Proposal) -> Proposal {
    let key = |key: KeyOut| Key { kind: key.kind, id: key.id };
    Proposal {
        kind: event.kind,
        content_type: ContentType::from(event.content_type.as_str()),
        payload: event.payload,
        keys: event.keys.into_iter().map(key).collect(),
        triggers: proposal.triggers.clone(),
        metadata: event.metadata.into_iter().map(|pair| (pair.name, pair.value)).collect(),
        caller_ms: proposal.caller_ms,
    }
}

/// What a guest says older events are today.
///
/// # Errors
/// [`Invalid`] names what breaks the contract.
pub(super) fn upcast(
    answer: Vec<Option<NewEventOut>>,
    events: &[BodyIn<'_>],
    limits: &Limits,
) -> Result<Vec<Option<Proposal>>, Invalid> {
    if answer.len() != events.len() {
        let events = counted(events.len() as u64, "event");
        let why = format!("{} for {events}; there must be one for each", answer.len());
        return Err(Invalid::new("upcast events", why));
    }
    let each = answer.into_iter().zip(events).map(|(newer, event)| {
        let Some(newer) = newer else { return Ok(None) };
        let triggers = event.triggers.iter().map(|key| Key::new(key.kind, key.id)).collect();
        let old = Proposal { triggers, caller_ms: event.caller_ms, ..Proposal::json("", "") };
        let newer = replacement(newer, &old);
        limits.check_proposal(&newer).map(|()| Some(newer))
    });
    each.collect()
}

/// A guest that replaces proposals may not blow an append up beyond what a client could send.
fn check_total(
    accepted: &[Acceptance],
    proposals: &[Proposal],
    limits: &Limits,
) -> Result<(), Invalid> {
    if accepted.iter().all(|acceptance| acceptance.instead.is_none()) {
        return Ok(());
    }
    let (mut count, mut bytes, mut meta) = (0_usize, 0_usize, 0_usize);
    for (acceptance, proposal) in accepted.iter().zip(proposals) {
        let stored = acceptance.instead.as_deref().unwrap_or(std::slice::from_ref(proposal));
        count += stored.len();
        bytes += stored.iter().map(Proposal::size).sum::<usize>();
        meta += acceptance.meta.as_ref().map_or(0, Vec::len);
    }
    let checks = [
        ("events", count, limits.append_events_max),
        ("bytes of events", bytes, limits.append_bytes_max),
        ("bytes of meta", meta, limits.append_bytes_max),
    ];
    for (what, found, max) in checks {
        if found > max {
            let why = format!("{found} {what} in all, at most {max} are allowed");
            return Err(Invalid::new("acceptances", why));
        }
    }
    Ok(())
}

fn refused(out: RefusalOut, proposals: &[Proposal], limits: &Limits) -> Result<Refusal, Invalid> {
    if out.index as usize >= proposals.len() {
        let proposals = counted(proposals.len() as u64, "proposal");
        let why = format!("{} of {proposals}, counted from 0", out.index);
        return Err(Invalid::new("refusal index", why));
    }
    let reasons: Vec<Reason> = out
        .reasons
        .into_iter()
        .map(|reason| Reason {
            code: reason.code,
            message: reason.message,
            data: reason.data,
            seqs: reason.seqs.into_iter().map(Seq).collect(),
        })
        .collect();
    limits.check_reasons(&reasons)?;
    limits.check_answer_data("meta", out.meta.as_deref())?;
    Ok(Refusal { index: out.index, reasons, meta: out.meta })
}

/// What a component says about itself.
///
/// # Errors
/// [`Invalid`] names what breaks the contract.
pub(super) fn description(out: DescriptionOut, limits: &Limits) -> Result<Description, Invalid> {
    let name =
        ValidatorName::new(&out.name).map_err(|error| Invalid::new("name", error.to_string()))?;
    if out.version.len() > VERSION_BYTES_MAX {
        let why = format!("{} bytes, at most {VERSION_BYTES_MAX} are allowed", out.version.len());
        return Err(Invalid::new("version", why));
    }
    if let Err(error) = semver::Version::parse(&out.version) {
        let why = format!("{:?} is not like 1.2.0: {error}", out.version);
        return Err(Invalid::new("version", why));
    }
    if out.kinds.len() > KINDS_MAX {
        let why = format!("{} kinds, at most {KINDS_MAX} are allowed", out.kinds.len());
        return Err(Invalid::new("kinds", why));
    }
    let mut bytes = 0;
    for kind in &out.kinds {
        if kind.name.is_empty() || kind.name.len() > limits.kind_bytes_max {
            let why = format!("a name has 1 to {} bytes", limits.kind_bytes_max);
            return Err(Invalid::new("kinds", why));
        }
        bytes += kind.name.len() + kind.schema.as_ref().map_or(0, String::len);
    }
    if bytes > limits.payload_bytes_max {
        // The description becomes an event of the store's own scope.
        let why = format!("{bytes} bytes in all, at most {} are allowed", limits.payload_bytes_max);
        return Err(Invalid::new("kinds", why));
    }
    let kinds = out.kinds.into_iter().map(|kind| (kind.name, kind.schema)).collect();
    Ok(Description { name, version: out.version, kinds })
}
