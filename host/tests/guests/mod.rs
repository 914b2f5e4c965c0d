//! Guests for tests: the parts of a small validator in text, put together and given the contract.
#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::plugin::WasmLoader;
use atomic_store::validator::{History, Loader, Rules, Start, StartError, Validator};
use atomic_store_core::record::BodyIn;
use atomic_store_core::{
    AppendId, ContentType, Digest, Fault, FaultKind, Limits, Proposal, ScopeName, Seq,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use wit_component::{ComponentEncoder, StringEncoding};

const BASE: &str = include_str!("base.wat");
const WIT: &str = include_str!("../../../wit/validator.wit");

/// A validator that accepts everything, but for the parts that a test replaces.
#[derive(Clone)]
pub(crate) struct Guest {
    parts: BTreeMap<&'static str, String>,
    wit: String,
    wat: String,
}

/// The guest without changes.
pub(crate) fn guest() -> Guest {
    let defaults = [
        ("imports", ""),
        ("memory", "2"),
        ("globals", ""),
        ("functions", ""),
        ("describe", "(i32.const 32)"),
        ("init", "(call $reset) (call $list (i32.const 0) (i32.const 0) (i32.const 0))"),
        ("restore", "(call $reset) (call $list (i32.const 0) (i32.const 0) (i32.const 0))"),
        ("apply", "(call $reset)"),
        ("validate", "(call $accept (local.get $len))"),
        ("snapshot", "(call $list (i32.const 0) (i32.const 0) (i32.const 0))"),
        ("query", "(call $list (i32.const 0) (local.get $at) (local.get $len))"),
    ];
    let parts = defaults.map(|(name, text)| (name, text.to_owned()));
    Guest { parts: BTreeMap::from(parts), wit: WIT.to_owned(), wat: BASE.to_owned() }
}

impl Guest {
    /// Replaces one part.
    pub(crate) fn with(mut self, part: &'static str, text: &str) -> Self {
        assert!(self.parts.insert(part, text.to_owned()).is_some(), "no part {part}");
        self
    }

    /// The text of one part.
    pub(crate) fn part(&self, part: &str) -> String {
        self.parts[part].clone()
    }

    /// Replaces text of the whole guest, also of the contract it is built against.
    pub(crate) fn replacing(mut self, from: &str, to: &str) -> Self {
        assert!(self.wat.contains(from) || self.wit.contains(from), "nothing to replace: {from}");
        self.wat = self.wat.replace(from, to);
        self.wit = self.wit.replace(from, to);
        self
    }

    /// Replaces text of the guest only.
    pub(crate) fn wat(mut self, from: &str, to: &str) -> Self {
        assert!(self.wat.contains(from), "nothing to replace: {from}");
        self.wat = self.wat.replace(from, to);
        self
    }

    /// Replaces text of the contract only.
    pub(crate) fn contract(mut self, from: &str, to: &str) -> Self {
        assert!(self.wit.contains(from), "nothing to replace: {from}");
        self.wit = self.wit.replacen(from, to, 1);
        self
    }

    /// The core module, without the contract.
    pub(crate) fn bare_module(&self) -> Vec<u8> {
        let mut wat = self.wat.clone();
        for (part, text) in &self.parts {
            wat = wat.replace(&format!("{{{{{part}}}}}"), text);
        }
        wat::parse_str(&wat).unwrap()
    }

    /// The core module, with the contract.
    pub(crate) fn module(&self) -> Vec<u8> {
        let mut module = self.bare_module();
        let mut resolve = wit_parser::Resolve::default();
        let package = resolve.push_str("validator.wit", &self.wit).unwrap();
        let world = resolve.select_world(&[package], Some("validator")).unwrap();
        wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
            .unwrap();
        module
    }

    /// The component.
    pub(crate) fn component(&self) -> Vec<u8> {
        let encoder = ComponentEncoder::default().module(&self.module()).unwrap();
        encoder.validate(true).encode().unwrap()
    }

    /// Loads it under limits.
    pub(crate) fn load(&self, limits: &Limits) -> Arc<dyn Rules> {
        WasmLoader::new(limits.clone()).unwrap().load(&self.component()).unwrap()
    }

    /// Starts it under limits, without history.
    pub(crate) fn start(&self, limits: &Limits) -> Box<dyn Validator> {
        start(&*self.load(limits), Events::default()).unwrap()
    }
}

/// Starts an instance for the scope `test`.
pub(crate) fn start(rules: &dyn Rules, history: Events) -> Result<Box<dyn Validator>, StartError> {
    let scope = ScopeName::new("test").unwrap();
    rules.start(Start { scope: &scope, config: None, snapshot: None, history: Arc::new(history) })
}

/// Payloads of events, as a history.
#[derive(Default)]
pub(crate) struct Events(pub(crate) Vec<Vec<u8>>);

impl History for Events {
    fn head(&self) -> Seq {
        Seq(self.0.len() as u64)
    }

    fn read(
        &self,
        after: Seq,
        limit: usize,
        each: &mut dyn FnMut(&BodyIn<'_>),
    ) -> Result<(), String> {
        let from = usize::try_from(after.0).unwrap_or(usize::MAX);
        for (at, payload) in self.0.iter().enumerate().skip(from).take(limit) {
            each(&event(at as u64 + 1, payload));
        }
        Ok(())
    }
}

/// An event of kind `note`.
pub(crate) fn event(seq: u64, payload: &[u8]) -> BodyIn<'_> {
    BodyIn {
        seq: Seq(seq),
        kind: "note",
        content_type: ContentType::Bytes,
        payload,
        keys: Vec::new(),
        triggers: Vec::new(),
        metadata: Vec::new(),
        caller_ms: None,
        host_ms: 1_000 + seq,
        append_id: AppendId::default(),
        validator: Digest::default(),
        binding: Seq::ZERO,
    }
}

/// A proposal of kind `note`.
pub(crate) fn proposal(payload: &[u8]) -> Proposal {
    Proposal {
        kind: "note".to_owned(),
        content_type: ContentType::Bytes,
        payload: payload.to_owned(),
        ..Proposal::default()
    }
}

/// Asserts the kind of a fault, and that its detail names the cause.
pub(crate) fn assert_fault<T: std::fmt::Debug>(
    result: Result<T, Fault>,
    kind: FaultKind,
    cause: &str,
) {
    let fault = result.unwrap_err();
    assert_eq!(fault.kind, kind, "{}", fault.detail);
    assert!(fault.detail.contains(cause), "{:?} does not name {cause:?}", fault.detail);
}

/// What a subscriber of the host's log has written.
#[derive(Clone, Default)]
pub(crate) struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    /// All of it.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
