//! A validator in plain Rust for things that are set, changed and deleted by key, each change with a
//! condition if it likes: what the entities of Eventsrc did (ST05 to ST13, ST37 to ST40). A payload is
//! `{"op": "set", "key": ..., "value": ..., "if": ...}`, where `op` is `set`, `insert` (nothing if the
//! key is there), `update` (refused if it is not) or `delete` (nothing if it is not there), and `if`, if
//! given, the value that the key must have, `null` for none. The state is a map.

use atomic_store::validator::{
    Acceptance, AdmitError, Loader, Rules, Start, StartError, Validator, Verdict,
};
use atomic_store_core::record::BodyIn;
use atomic_store_core::{
    Description, Digest, Fault, FaultKind, Proposal, Reason, Refusal, ValidatorName,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The "component" of the entity validator.
pub const ENTITY: &[u8] = b"entity";
/// The same rules as another component, so that its snapshots are of other rules.
pub const OTHER_ENTITY: &[u8] = b"other entity";

/// A change of one key, as its payload says it.
struct EntityOp {
    op: String,
    key: String,
    value: Value,
    /// Refused unless the key has this value; `null` for none.
    condition: Option<Value>,
}

impl EntityOp {
    fn read(payload: &[u8]) -> Option<EntityOp> {
        let Value::Object(mut fields) = serde_json::from_slice(payload).ok()? else { return None };
        Some(EntityOp {
            op: fields.get("op")?.as_str()?.to_owned(),
            key: fields.get("key")?.as_str()?.to_owned(),
            value: fields.remove("value").unwrap_or(Value::Null),
            condition: fields.remove("if"),
        })
    }
}

/// The state.
pub type EntityState = BTreeMap<String, Value>;

/// Folds one stored event into the state.
///
/// # Panics
/// If the payload is not an operation that was ever accepted.
pub fn entity_fold(state: &mut EntityState, payload: &[u8]) {
    let op = EntityOp::read(payload).unwrap();
    match op.op.as_str() {
        "delete" => drop(state.remove(&op.key)),
        _ => drop(state.insert(op.key, op.value)),
    }
}

/// Loads the entity validators, and nothing else.
pub struct EntityLoader;

struct Entity {
    digest: Digest,
    description: Description,
}

#[derive(Default)]
struct Instance {
    state: EntityState,
}

impl Loader for EntityLoader {
    fn load(&self, bytes: &[u8]) -> Result<Arc<dyn Rules>, AdmitError> {
        if bytes != ENTITY && bytes != OTHER_ENTITY {
            return Err(AdmitError::Malformed("only entities are known".to_owned()));
        }
        let name = ValidatorName::new("entity").unwrap();
        let description = Description { name, version: "1.0.0".to_owned(), kinds: Vec::new() };
        Ok(Arc::new(Entity { digest: Digest::of(bytes), description }))
    }
}

impl Rules for Entity {
    fn digest(&self) -> Digest {
        self.digest
    }

    fn description(&self) -> &Description {
        &self.description
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Validator>, StartError> {
        let state = start.snapshot.map_or(Ok(EntityState::new()), serde_json::from_slice);
        let state = state.map_err(|why| StartError::Declined(why.to_string()))?;
        Ok(Box::new(Instance { state }))
    }
}

/// What becomes of one operation.
enum Judged {
    Store,
    Nothing(&'static str),
    No(&'static str),
}

fn judge(state: &EntityState, op: &EntityOp) -> Judged {
    let there = state.get(&op.key);
    if let Some(expected) = &op.condition
        && there.unwrap_or(&Value::Null) != expected
    {
        return Judged::No("other-value");
    }
    match (op.op.as_str(), there) {
        ("set", _) | ("insert", None) | ("update" | "delete", Some(_)) => Judged::Store,
        ("insert", Some(_)) => Judged::Nothing("it is there already"),
        ("delete", None) => Judged::Nothing("it is not there"),
        ("update", None) => Judged::No("absent"),
        _ => Judged::No("not-understood"),
    }
}

impl Validator for Instance {
    fn apply(&mut self, events: &[BodyIn<'_>]) -> Result<(), Fault> {
        for event in events {
            entity_fold(&mut self.state, event.payload);
        }
        Ok(())
    }

    fn validate(&mut self, proposals: &[Proposal], _: u64) -> Result<Verdict, Fault> {
        let mut state = self.state.clone();
        let mut acceptances = Vec::new();
        for (index, proposal) in proposals.iter().enumerate() {
            if proposal.kind == "trap" {
                return Err(Fault { kind: FaultKind::Trap, detail: "as asked".to_owned() });
            }
            let op = EntityOp::read(&proposal.payload);
            let judged = op.map_or(Judged::No("not-understood"), |op| judge(&state, &op));
            match judged {
                Judged::Store => {
                    entity_fold(&mut state, &proposal.payload);
                    acceptances.push(Acceptance::default());
                }
                Judged::Nothing(why) => acceptances.push(Acceptance {
                    instead: Some(Vec::new()),
                    reason: Some(why.to_owned()),
                    meta: None,
                }),
                Judged::No(code) => {
                    let (code, message) = (code.to_owned(), "by the entity's rules".to_owned());
                    let reasons = vec![Reason { code, message, data: None, seqs: Vec::new() }];
                    let index = u32::try_from(index).unwrap();
                    return Ok(Verdict::Refused(Refusal { index, reasons, meta: None }));
                }
            }
        }
        Ok(Verdict::Accepted(acceptances))
    }

    fn snapshot(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        Ok(Some(serde_json::to_vec(&self.state).unwrap()))
    }

    fn query(&mut self, name: &str, args: &[u8]) -> Result<Result<Vec<u8>, String>, Fault> {
        Ok(match name {
            "get" => {
                let value = self.state.get(&String::from_utf8_lossy(args).into_owned());
                Ok(serde_json::to_vec(value.unwrap_or(&Value::Null)).unwrap())
            }
            "all" => Ok(serde_json::to_vec(&self.state).unwrap()),
            other => Err(format!("no query {other}")),
        })
    }
}
