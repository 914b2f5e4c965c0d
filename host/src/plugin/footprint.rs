//! How much of its linear memory an instance has really taken when it starts.
//!
//! Compilers give a module a megabyte of stack, of which a call touches a few pages; what nobody
//! touched takes no memory of the machine. So a memory counts by the data that it starts with and a
//! little for stack and heap, and from then on by all that it grows by behind its first heap. A Rust
//! auction was measured at 68 KiB, all that the host keeps for it included, with 17 pages of linear
//! memory and 34 KB of data.

use wasmparser::{Parser, Payload};

/// Touched by every instance: a few pages of stack, of heap and of page tables.
const STARTED_BYTES: usize = 32 * 1024;

/// What the memories of an instance may grow by before that counts: the heap is in `STARTED_BYTES`, though
/// most allocators ask for a page for it first.
pub(super) const HEAP_BYTES: usize = 64 * 1024;

/// Bytes that each memory of an instance of this component counts for at its start.
pub(super) fn started_bytes(wasm: &[u8]) -> usize {
    let mut bytes = STARTED_BYTES;
    // Modules inside a component come one after another. What cannot be read, does not compile.
    for payload in Parser::new(0).parse_all(wasm) {
        let Ok(Payload::DataSection(segments)) = payload else { continue };
        let lengths = segments.into_iter().flatten().map(|segment| segment.data.len());
        bytes = lengths.fold(bytes, usize::saturating_add);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_all_modules_counts_and_empty_memory_does_not() {
        let fields = r#"(memory 17) (data (i32.const 8) "abcd") (data "ef")"#;
        let module = format!("(module {fields})");
        let component = format!("(component (core module {fields}) (core module {fields}))");
        let bytes = |text: &str| started_bytes(&wat::parse_str(text).unwrap());
        assert_eq!(bytes("(module (memory 1000))"), STARTED_BYTES);
        assert_eq!(bytes(&module), STARTED_BYTES + 6);
        assert_eq!(bytes(&component), STARTED_BYTES + 12);
    }

    #[test]
    fn what_is_no_wasm_counts_as_an_empty_one() {
        for bytes in [&b""[..], b"\0asm", b"hello", &[0xff; 100]] {
            assert_eq!(started_bytes(bytes), STARTED_BYTES);
        }
    }
}
