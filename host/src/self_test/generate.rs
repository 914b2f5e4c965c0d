//! Inputs for a component that nobody has used yet: what its own schemas describe, what is nearly
//! that, and bytes that mean nothing. From a seed, so that the same component gets the same inputs.

use atomic_store_core::{ContentType, Description, Digest, Key, Proposal};
use serde_json::{Map, Value, json};

/// How deep a schema is followed.
const DEPTH_MAX: usize = 6;
/// Bytes of the largest generated payload.
const LARGE_BYTES: usize = 64 * 1024;
/// Names and values that payloads of many applications have in common.
const WORDS: [&str; 6] = ["ann", "bob", "A1", "1", "10.00", ""];

/// A proposal, and whether it means something.
pub(super) struct Generated {
    pub(super) proposal: Proposal,
    /// True if its payload is as the component's own schema says, or at least JSON.
    pub(super) sensible: bool,
}

/// A stream of inputs.
pub(super) struct Generator<'a> {
    random: Random,
    description: &'a Description,
    schemas: Vec<Option<Value>>,
    round: usize,
}

impl<'a> Generator<'a> {
    pub(super) fn new(seed: &Digest, description: &'a Description) -> Self {
        let schema = |text: &Option<String>| serde_json::from_str(text.as_deref()?).ok();
        let schemas = description.kinds.iter().map(|(_, text)| schema(text)).collect();
        Generator { random: Random::new(seed), description, schemas, round: 0 }
    }

    /// The next input. Sensible and senseless ones take turns.
    pub(super) fn next(&mut self) -> Generated {
        self.round += 1;
        let kinds = self.description.kinds.len();
        let kind = if kinds == 0 { 0 } else { self.random.below(kinds) };
        let name = self.description.kinds.get(kind).map_or("event", |(name, _)| name.as_str());
        let mut proposal = Proposal { kind: name.to_owned(), ..Proposal::default() };
        let sensible = !self.round.is_multiple_of(3);
        if sensible {
            let schema = self.schemas.get(kind).cloned().flatten().unwrap_or_else(|| json!({}));
            let value = self.value(&schema, 0);
            proposal.payload = value.to_string().into_bytes();
        } else {
            self.nonsense(&mut proposal);
        }
        Generated { proposal, sensible }
    }

    fn nonsense(&mut self, proposal: &mut Proposal) {
        match self.round / 3 % 8 {
            0 => proposal.payload = Vec::new(),
            1 => proposal.payload = self.random.bytes(40),
            2 => proposal.payload = b"{\"a\":".repeat(200),
            3 => proposal.payload = self.random.bytes(LARGE_BYTES),
            4 => proposal.payload = b"[]".to_vec(),
            5 => {
                proposal.kind = "no-such-kind".to_owned();
                proposal.payload = b"{}".to_vec();
            }
            6 => {
                proposal.content_type = ContentType::Bytes;
                proposal.payload = self.random.bytes(9);
                proposal.keys = vec![Key::new("\u{fffd}", "\0")];
            }
            _ => {
                proposal.payload =
                    b"{\"amount\":-9223372036854775809,\"amount\":1e999,\"\xff\":null}".to_vec();
            }
        }
    }

    /// A value that a JSON schema describes; where it is silent, any.
    fn value(&mut self, schema: &Value, depth: usize) -> Value {
        if depth > DEPTH_MAX {
            return Value::Null;
        }
        if let Some(constant) = schema.get("const") {
            return constant.clone();
        }
        for list in ["enum", "examples"] {
            if let Some(values) = schema.get(list).and_then(Value::as_array)
                && !values.is_empty()
            {
                return values[self.random.below(values.len())].clone();
            }
        }
        for list in ["oneOf", "anyOf"] {
            if let Some(values) = schema.get(list).and_then(Value::as_array)
                && !values.is_empty()
            {
                let at = self.random.below(values.len());
                return self.value(&values[at], depth + 1);
            }
        }
        let named = match schema.get("type") {
            Some(Value::String(name)) => Some(name.as_str()),
            Some(Value::Array(names)) => names.first().and_then(Value::as_str),
            _ => None,
        };
        match named {
            Some("string") => self.text(schema),
            Some("integer" | "number") => self.number(schema),
            Some("boolean") => json!(self.random.below(2) == 0),
            Some("null") => Value::Null,
            Some("array") => {
                let items = schema.get("items").cloned().unwrap_or_else(|| json!({}));
                (0..self.random.below(4)).map(|_| self.value(&items, depth + 1)).collect()
            }
            _ => self.object(schema, depth),
        }
    }

    fn object(&mut self, schema: &Value, depth: usize) -> Value {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            return json!({ WORDS[self.random.below(WORDS.len())]: self.random.below(100) });
        };
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = |name: &str| {
            required.is_some_and(|all| all.iter().any(|one| one.as_str() == Some(name)))
        };
        let mut object = Map::new();
        for (name, property) in properties {
            if is_required(name) || self.random.below(2) == 0 {
                object.insert(name.clone(), self.value(property, depth + 1));
            }
        }
        Value::Object(object)
    }

    fn text(&mut self, schema: &Value) -> Value {
        // A pattern is nearly always one of digits: amounts, codes, times.
        let digits = schema.get("pattern").is_some();
        let number = self.round * 10 + self.random.below(10);
        match (digits, self.random.below(4)) {
            (true, 0) => json!(format!("{number}.50")),
            (true, _) => json!(number.to_string()),
            (false, _) => json!(WORDS[self.random.below(WORDS.len())]),
        }
    }

    fn number(&mut self, schema: &Value) -> Value {
        let least = schema.get("minimum").and_then(Value::as_i64).unwrap_or(0);
        let most = schema.get("maximum").and_then(Value::as_i64).unwrap_or(i64::MAX);
        // Rising, as amounts and numbers in a log often must.
        let wanted = (self.round * 10 + self.random.below(10)) as i64;
        json!(least.saturating_add(wanted).min(most))
    }
}

/// Random numbers from a seed: counted blocks of a hash.
pub(super) struct Random {
    output: blake3::OutputReader,
}

impl Random {
    fn new(seed: &Digest) -> Self {
        let hasher = blake3::Hasher::new_keyed(&seed.0);
        Random { output: hasher.finalize_xof() }
    }

    fn below(&mut self, end: usize) -> usize {
        let mut bytes = [0; 8];
        self.output.fill(&mut bytes);
        (u64::from_le_bytes(bytes) % end.max(1) as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.output.fill(&mut bytes);
        bytes
    }
}
