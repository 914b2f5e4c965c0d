//! Scopes on their way in from elsewhere, part by part.

use super::hub::Hub;
use crate::engine::{Engine, Restore};
use atomic_store_core::protocol::{Origin, Reply, RequestError};
use atomic_store_core::{Invalid, Limits, ScopeName};
use serde_bytes::ByteBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OwnedSemaphorePermit;

/// The scope that one session restores. What is left when the session ends is dropped, and with it
/// what was kept of it.
#[derive(Clone, Default)]
pub(crate) struct Restores(Arc<Mutex<Option<Running>>>);

struct Running {
    scope: ScopeName,
    restore: Restore,
    _permit: OwnedSemaphorePermit,
}

/// One part.
pub(crate) struct Part {
    pub(crate) scope: ScopeName,
    pub(crate) records: Vec<ByteBuf>,
    pub(crate) last: bool,
    pub(crate) from: Option<Origin>,
}

/// The number of `Request::RestoreScope` among the requests.
const RESTORE: u32 = 25;

/// The call and the refusal of a part with too many records, before it is decoded: a list of empty
/// ones is many times larger in memory than its bytes.
pub(crate) fn too_much(body: &[u8], limits: &Limits) -> Option<(u64, RequestError)> {
    let ((call, request), _): ((u64, u32), _) = postcard::take_from_bytes(body).ok()?;
    if request != RESTORE {
        return None;
    }
    let ((_, _, _, records), _): ((u64, u32, &str, usize), _) =
        postcard::take_from_bytes(body).ok()?;
    let Invalid { field, why } = limits.check_restore(records, 0).err()?;
    Some((call, RequestError::Invalid { field, why }))
}

impl Restores {
    /// Takes a part. Blocks on the disk. After an error nothing is left of the scope.
    ///
    /// # Errors
    /// As [`Restore::add`] and [`Restore::finish`]; `Overloaded` while too many others restore.
    pub(crate) fn part(&self, hub: &Hub, part: Part) -> Result<Reply, RequestError> {
        // Out of its place while it is worked on: two parts at once are two beginnings.
        let running = self.slot().take();
        if part.records.is_empty() && !part.last {
            drop(running);
            return Ok(Reply::Done);
        }
        let mut running = match running.filter(|running| running.scope == part.scope) {
            Some(running) => running,
            None => Running::begin(hub, part.scope)?,
        };
        running.restore.add(part.records.iter().map(|record| record.as_slice()))?;
        if part.last {
            return running.restore.finish(part.from).map(|info| Reply::Scope(Some(info)));
        }
        *self.slot() = Some(running);
        Ok(Reply::Done)
    }

    fn slot(&self) -> MutexGuard<'_, Option<Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    fn begin(hub: &Hub, scope: ScopeName) -> Result<Running, RequestError> {
        let engine: &Engine = &hub.engine;
        let why = "others are restoring scopes; try again in a moment";
        let permit = Arc::clone(&hub.restores).try_acquire_owned();
        let permit = permit.map_err(|_| RequestError::Overloaded(why.to_owned()))?;
        let restore = engine.restore_scope(&scope)?;
        Ok(Running { scope, restore, _permit: permit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atomic_store_core::codec;
    use atomic_store_core::protocol::{ClientFrame, Request};

    #[test]
    fn a_part_with_too_many_records_is_refused_before_it_is_decoded() {
        let limits = Limits::default();
        let found = |records| {
            let scope = ScopeName::new("a").unwrap();
            let records = vec![ByteBuf::new(); records];
            let request = Request::RestoreScope { scope, records, last: false, from: None };
            too_much(&codec::encode(&ClientFrame { call: 7, request }).unwrap(), &limits)
        };
        assert!(found(limits.restore_records_max).is_none());
        let (call, why) = found(limits.restore_records_max + 1).unwrap();
        assert!(
            call == 7 && matches!(why, RequestError::Invalid { field, .. } if field == "records")
        );
        let other = codec::encode(&ClientFrame { call: 1, request: Request::Status }).unwrap();
        assert!(too_much(&other, &limits).is_none() && too_much(b"garbage", &limits).is_none());
    }
}
