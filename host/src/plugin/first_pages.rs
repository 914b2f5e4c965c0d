//! The pages that all instances of a component start from.
//!
//! wasmtime keeps them in a file in memory and seals it. The kernel refuses that while anybody else
//! holds one of its pages, as it does itself for a moment when it moves or ages them. wasmtime gives
//! up then; another time it works.

use crate::validator::AdmitError;
use std::time::Duration;
use wasmtime::component::Component;

/// So often it is tried. Each try waits in the kernel, too.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(50);

/// Makes them now, so that no start of an instance fails for it.
pub(super) fn make(component: &Component) -> Result<(), AdmitError> {
    patiently(PAUSE, || component.initialize_copy_on_write_image()).map_err(|error| {
        AdmitError::Compile(format!("its memory cannot be prepared: {}", error.root_cause()))
    })
}

fn patiently<E>(pause: Duration, mut attempt: impl FnMut() -> Result<(), E>) -> Result<(), E> {
    for _ in 1..TRIES {
        if attempt().is_ok() {
            return Ok(());
        }
        std::thread::sleep(pause);
    }
    attempt()
}

#[cfg(test)]
mod tests {
    use super::{TRIES, patiently};
    use std::time::Duration;

    fn after(failures: u32) -> (Result<(), u32>, u32) {
        let mut tries = 0;
        let result = patiently(Duration::ZERO, || {
            tries += 1;
            if tries > failures { Ok(()) } else { Err(tries) }
        });
        (result, tries)
    }

    #[test]
    fn what_the_kernel_refuses_for_a_moment_is_tried_again_and_its_last_refusal_is_told() {
        assert_eq!(after(0), (Ok(()), 1));
        assert_eq!(after(3), (Ok(()), 4));
        assert_eq!(after(TRIES - 1), (Ok(()), TRIES));
        assert_eq!(after(TRIES), (Err(TRIES), TRIES));
    }
}
