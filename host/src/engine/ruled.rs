//! Which rules judged the events of a scope: every stored event names the one that admitted it.

use super::handle::Engine;
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{Ruled, ScopeName, Seq};
use std::collections::VecDeque;
use std::ops::ControlFlow;

/// Changes of rules that are told of, the last of them.
const RULED_MAX: usize = 1_000;

impl Engine {
    /// Which rule admitted which events of a scope, in their order; of many changes the last thousand.
    /// Reads all events. Blocks on the disk.
    ///
    /// # Errors
    /// `Damaged` or `Failed` if they cannot be read.
    pub fn ruled(&self, scope: &ScopeName) -> Result<Vec<Ruled>, RequestError> {
        let (mut ruled, mut problem) = (VecDeque::<Ruled>::new(), None);
        let read = self.read(scope, Seq::ZERO, Seq::MAX, &mut |view| {
            let seq = view.seq();
            let body = match view.decode() {
                Ok(body) => body,
                Err(error) => {
                    problem = Some(format!("event {seq} of {scope}: {error}"));
                    return ControlFlow::Break(());
                }
            };
            let by = (body.validator, body.binding);
            match ruled.back_mut().filter(|last| (last.validator, last.binding) == by) {
                Some(last) => last.last = seq,
                None => {
                    if ruled.len() == RULED_MAX {
                        ruled.pop_front();
                    }
                    let (validator, binding) = by;
                    ruled.push_back(Ruled { first: seq, last: seq, validator, binding });
                }
            }
            ControlFlow::Continue(())
        });
        read.map_err(|error| self.shared.read_refusal(&error))?;
        match problem {
            Some(problem) => Err(RequestError::Damaged(problem)),
            None => Ok(ruled.into()),
        }
    }
}
