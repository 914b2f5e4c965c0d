//! Compiling in a process of its own, and machine code that is kept for the next start.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod guests;

use atomic_store::plugin::{CompileCounts, CompileOptions, CompilerProcess, WasmLoader};
use atomic_store::validator::{AdmitError, Loader};
use atomic_store_core::{Digest, Limits};
use guests::{Events, guest, proposal, start};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn program(path: &str, args: &[&str]) -> CompilerProcess {
    CompilerProcess { program: path.into(), args: args.iter().map(Into::into).collect() }
}

/// The program as it is shipped.
fn own() -> CompilerProcess {
    program(env!("CARGO_BIN_EXE_atomic-store"), &["compile-worker"])
}

fn loader(limits: &Limits, compiler: Option<CompilerProcess>, cache: Option<&Path>) -> WasmLoader {
    let options = CompileOptions { cache: cache.map(Path::to_owned), compiler };
    WasmLoader::with(limits.clone(), options).unwrap()
}

/// Loads the guest with a loader of its own, as a start does, and has it judge something.
fn load(cache: &Path, compiler: Option<CompilerProcess>) -> CompileCounts {
    let loader = loader(&Limits::default(), compiler, Some(cache));
    let rules = loader.load(&guest().component()).unwrap();
    start(&*rules, Events::default()).unwrap().validate(&[proposal(b"x")], 1).unwrap();
    loader.compiled()
}

const COMPILED: CompileCounts = CompileCounts { compiled: 1, reused: 0 };
const REUSED: CompileCounts = CompileCounts { compiled: 0, reused: 1 };

/// The one file of code in a folder.
fn code_file(cache: &Path) -> PathBuf {
    let entries = std::fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> =
        entries.filter(|p| p.extension().is_some_and(|e| e == "code")).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn refused(limits: &Limits, compiler: Option<CompilerProcess>, bytes: &[u8]) -> AdmitError {
    loader(limits, compiler, None).load(bytes).err().expect("it was let in")
}

/// A component with one function of so many steps, for which a compiler needs memory and time.
fn large(steps: usize) -> Vec<u8> {
    let step = "(local.set 0 (i32.mul (i32.load (local.get 0)) (i32.load (local.get 0))))";
    let text = format!("(func (param i32) {})", step.repeat(steps));
    guest().with("functions", &text).component()
}

#[test]
fn the_second_start_finds_the_code_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("code");
    assert_eq!(load(&cache, Some(own())), COMPILED);
    assert_eq!(load(&cache, Some(own())), REUSED);
    assert_eq!(load(&cache, None), REUSED, "it does not matter who compiled");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&cache), 0o700);
    for entry in std::fs::read_dir(&cache).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn a_refused_component_leaves_no_code() {
    let dir = tempfile::tempdir().unwrap();
    let trap = guest().with("describe", "(unreachable)").component();
    let loader = loader(&Limits::default(), None, Some(dir.path()));
    assert!(matches!(loader.load(&trap), Err(AdmitError::Description(_))));
    let files = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(files, 1, "the key, and nothing else");
}

#[test]
fn changed_code_is_never_run_and_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(load(dir.path(), None), COMPILED);
    let path = code_file(dir.path());
    let whole = std::fs::read(&path).unwrap();
    let places = [0, 7, 8, 20, 39, 40, 41, 100, whole.len() / 2, whole.len() - 1];
    for at in places {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        std::fs::write(&path, &changed).unwrap();
        assert_eq!(load(dir.path(), None), COMPILED, "byte {at}");
        assert_eq!(std::fs::read(&path).unwrap(), whole, "byte {at}: the file is whole again");
    }
    for len in [0, 1, 8, 39, 40, 41, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..len]).unwrap();
        assert_eq!(load(dir.path(), None), COMPILED, "{len} bytes");
    }
    std::fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
    assert_eq!(load(dir.path(), None), COMPILED, "one byte more");
    assert_eq!(load(dir.path(), None), REUSED);
}

#[test]
fn code_of_another_store_is_not_run() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_eq!(load(ours.path(), None), COMPILED);
    assert_eq!(load(theirs.path(), None), COMPILED);
    std::fs::copy(code_file(theirs.path()), code_file(ours.path())).unwrap();
    assert_eq!(load(ours.path(), None), COMPILED);

    // The code of another component of the same store, under this one's name.
    let other = guest().with("apply", "(call $reset) (call $reset)").component();
    let path = code_file(ours.path());
    std::fs::rename(&path, ours.path().join("aside")).unwrap();
    loader(&Limits::default(), None, Some(ours.path())).load(&other).unwrap();
    let others = code_file(ours.path());
    assert!(others.to_str().unwrap().contains(&Digest::of(&other).to_string()));
    std::fs::rename(others, &path).unwrap();
    assert_eq!(load(ours.path(), None), COMPILED);
}

#[test]
fn a_link_is_not_followed_and_a_lost_key_makes_all_code_worthless() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(load(dir.path(), None), COMPILED);
    let path = code_file(dir.path());
    std::fs::rename(&path, dir.path().join("aside")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("aside"), &path).unwrap();
    assert_eq!(load(dir.path(), None), COMPILED);
    assert_eq!(load(dir.path(), None), REUSED);
    for key in [&b"short"[..], &[0; 32]] {
        std::fs::write(dir.path().join("key"), key).unwrap();
        assert_eq!(load(dir.path(), None), COMPILED, "{key:?}");
        assert_eq!(load(dir.path(), None), REUSED, "{key:?}");
    }
    // A key that others could read is no secret.
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(dir.path().join("key"), open).unwrap();
    assert_eq!(load(dir.path(), None), COMPILED);
}

#[test]
fn without_a_place_for_it_code_is_not_kept_and_everything_works() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    for cache in [file.clone(), file.join("below"), dir.path().join("no/such")] {
        assert_eq!(load(&cache, None), COMPILED);
        assert_eq!(load(&cache, None), COMPILED);
    }
}

#[test]
fn a_compiler_that_takes_too_long_is_ended_at_its_deadline() {
    let limits = Limits { compile_ms_max: 100, ..Limits::default() };
    let begun = Instant::now();
    let error = refused(&limits, Some(own()), &large(60_000));
    assert!(matches!(&error, AdmitError::Compile(why) if why.contains("100 ms")), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    // One that never answers, and never reads.
    let error =
        refused(&limits, Some(program("/bin/sh", &["-c", "exec sleep 60"])), &guest().component());
    assert!(matches!(&error, AdmitError::Compile(why) if why.contains("100 ms")), "{error}");
    loader(&Limits::default(), Some(own()), None).load(&guest().component()).unwrap();
}

#[test]
fn a_compiler_has_its_memory() {
    const MIB: u64 = 1024 * 1024;
    let tight = |mib| Limits { compile_memory_bytes_max: mib * MIB, ..Limits::default() };
    let error = refused(&tight(64), Some(own()), &large(60_000));
    assert!(matches!(&error, AdmitError::Compile(why) if why.contains("memory")), "{error}");
    loader(&tight(64), Some(own()), None).load(&guest().component()).unwrap();
}

#[test]
fn machine_code_has_its_size_wherever_it_is_made() {
    let component = guest().component();
    let loads = |bytes, compiler| {
        let limits = Limits { code_bytes_max: bytes, ..Limits::default() };
        loader(&limits, compiler, None).load(&component).map(drop)
    };
    let Err(error) = loads(1, None) else { panic!("one byte of code was enough") };
    let text = error.to_string();
    let bytes: usize =
        text.split_once("compiles to ").unwrap().1.split_once(' ').unwrap().0.parse().unwrap();
    for compiler in [None, Some(own())] {
        loads(bytes, compiler.clone()).unwrap();
        let error = loads(bytes - 1, compiler).unwrap_err();
        assert!(
            matches!(&error, AdmitError::Limit(why) if why.contains("machine code")),
            "{error}"
        );
    }
}

#[test]
fn what_is_refused_is_refused_in_the_same_words_wherever_it_is_compiled() {
    let import =
        guest().with("imports", "(import \"env\" \"touch\" (func (param i32) (result i32)))");
    let lacking = guest().replacing("(export \"atomic-store:validator/rules@1.0.0#query\")", "");
    let cases = [import.module(), lacking.module(), b"\0asm".to_vec(), b"words".to_vec()];
    for bytes in cases {
        let limits = Limits::default();
        assert_eq!(refused(&limits, Some(own()), &bytes), refused(&limits, None, &bytes));
    }
}

#[test]
fn a_compiler_that_is_none_is_told_apart_from_a_bad_component() {
    let none = [
        program("/no/such/program", &[]),
        program("/bin/true", &[]),
        program("/bin/false", &[]),
        program("/bin/sh", &["-c", "kill -9 $$"]),
        // Gives the component back, whose first byte says that code follows.
        program("/bin/sh", &["-c", "cat"]),
    ];
    for compiler in none {
        let error = refused(&Limits::default(), Some(compiler.clone()), &guest().component());
        assert!(matches!(error, AdmitError::Compile(_)), "{compiler:?}: {error}");
    }
}
