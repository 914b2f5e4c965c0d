//! Questions to the client of a session about its own appends: the past events as pages, each waiting
//! for room in the session's queue, then the question.

use super::hub::blocking;
use super::page::Page;
use super::session::Session;
use crate::engine::{Asked, Selection};
use atomic_store_core::PagePlace;
use atomic_store_core::protocol::Reply;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Lets the session be asked; the engine calls what this sets up from its own threads.
pub(crate) fn listen(session: &Arc<Session>) {
    let weak = Arc::downgrade(session);
    let runtime = tokio::runtime::Handle::current();
    session.out.on_question(Box::new(move |call, asked| match weak.upgrade() {
        Some(session) => {
            runtime.spawn(ask(session, call, asked));
            true
        }
        None => false,
    }));
}

/// Sends what belongs to a question. If the session ends meanwhile, so does the question; if the events
/// cannot be read, or the client does not take them in time, the question times out.
async fn ask(session: Arc<Session>, call: u64, asked: Asked) {
    let Asked { question, after } = asked;
    if after < question.head {
        let place = PagePlace { after: after.0, through: question.head.0, past: 0 };
        let selection = Selection { place, ..Selection::new(Some(question.scope.clone())) };
        if let Err(why) = send_past(&session, call, selection).await {
            tracing::warn!(scope = %question.scope, why, "a client cannot be asked");
            return session.engine().withdraw(&session.reply_to, Some(call), &why);
        }
    }
    // The time runs from here, before the client can know of it.
    if session.engine().put_question(question.correlation) {
        session.out.push(call, &Reply::Question(question));
    }
}

async fn send_past(session: &Arc<Session>, call: u64, selection: Selection) -> Result<(), String> {
    let live = AtomicBool::new(false);
    let (mut place, through) = (selection.place.after, selection.place.through);
    let mut scan = session.engine().select(selection).map_err(|why| why.to_string())?;
    while !scan.is_done() && place < through {
        let room = session.out.room_for_page(session.limits());
        let mut permit = room.await.map_err(|_| "the client is gone".to_owned())?;
        let (engine, known) = (session.engine().clone(), place);
        let read = move || {
            let page = Page::read(&engine, &mut scan, u64::MAX, known, 0);
            (scan, page)
        };
        let (back, page) = blocking(&session.hub.reads, read).await.ok_or("a reader was lost")?;
        scan = back;
        let page = page.map_err(|why| why.to_string())?;
        if let Some((through, hash)) = page.skipped {
            session.out.push(call, &Reply::Skipped { through, hash });
        }
        place = scan.place().mark(false);
        if page.events > 0 {
            let mut chunk = page.into_chunk(call);
            let surplus = permit.num_permits().saturating_sub(chunk.bytes.len());
            drop(permit.split(surplus));
            chunk.permit = Some(permit);
            session.out.push_page(&live, chunk);
        }
    }
    Ok(())
}
