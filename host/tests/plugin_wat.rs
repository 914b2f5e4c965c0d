//! The template for rules in plain text: what it says is what it does.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod guests;

use atomic_store::plugin::WasmLoader;
use atomic_store::validator::{Loader, Rules, Start, StartError, Validator, Verdict};
use atomic_store_core::{Limits, ScopeName};
use guests::{Events, event, proposal};
use std::path::Path;
use std::sync::Arc;

fn rules() -> Arc<dyn Rules> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk/wat/template/rules.wat");
    WasmLoader::new(Limits::default()).unwrap().load(&wat::parse_file(file).unwrap()).unwrap()
}

fn start(
    rules: &Arc<dyn Rules>,
    snapshot: Option<&[u8]>,
) -> Result<Box<dyn Validator>, StartError> {
    let scope = ScopeName::new("notes/1").unwrap();
    let history = Arc::new(Events::default());
    rules.start(Start { scope: &scope, config: None, snapshot, history })
}

/// Accepted, or the code and the index of the refusal.
fn judge(notes: &mut Box<dyn Validator>, count: usize) -> Result<usize, (String, u32)> {
    match notes.validate(&vec![proposal(b"x"); count], 1).unwrap() {
        Verdict::Accepted(all) => Ok(all.len()),
        Verdict::Refused(no) => Err((no.reasons[0].code.clone(), no.index)),
    }
}

#[test]
fn the_template_in_plain_text_takes_a_hundred_notes() {
    let rules = rules();
    assert_eq!(rules.description().name.as_str(), "notes");
    assert_eq!(rules.description().kinds, [("note".to_owned(), None)]);
    let mut notes = start(&rules, None).unwrap();
    for seq in 1..=98 {
        assert_eq!(judge(&mut notes, 1), Ok(1));
        notes.apply(&[event(seq, b"x")]).unwrap();
    }
    // A batch sees its earlier members, and a refusal changes nothing.
    assert_eq!(judge(&mut notes, 3), Err(("full".to_owned(), 2)));
    assert_eq!(judge(&mut notes, 2), Ok(2));

    let snapshot = notes.snapshot().unwrap().unwrap();
    let mut restored = start(&rules, Some(&snapshot)).unwrap();
    restored.apply(&[event(99, b"x"), event(100, b"x")]).unwrap();
    assert_eq!(judge(&mut restored, 1), Err(("full".to_owned(), 0)));
    assert!(matches!(start(&rules, Some(b"seven b")), Err(StartError::Declined(_))));

    let mut other = proposal(b"x");
    other.kind = "other".to_owned();
    let Verdict::Refused(no) = notes.validate(&[other], 1).unwrap() else { panic!("accepted") };
    assert_eq!(no.reasons[0].code, "unknown-kind");
    assert_eq!(no.reasons[0].message, "these rules know notes only");
    let why = notes.query("any", b"").unwrap().unwrap_err();
    assert_eq!(why, "these rules answer no queries");
}

#[test]
fn the_template_in_plain_text_gives_memory_back_after_each_call() {
    let mut notes = start(&rules(), None).unwrap();
    let large = vec![proposal(&vec![0; 1 << 20]); 1];
    // Each call brings a mebibyte; five hundred of them fit only if each is given back.
    for _ in 0..500 {
        assert!(matches!(notes.validate(&large, 1).unwrap(), Verdict::Accepted(_)));
    }
}
