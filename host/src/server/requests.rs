//! What each request does. Appends and queries go straight to the engine; whatever may wait for the
//! disk runs elsewhere, so that this task never blocks.

use super::feed::{Feed, failed, invalid, lost};
use super::hub::blocking;
use super::proofs::{self, Offered};
use super::restores::{self, Part, Restores};
use super::session::{Session, Streaming, decode};
use super::uploads::Upload;
use super::{past, rejections, skim, skim_batches, skim_reads};
use crate::engine::{Against, Burst, Engine, Selection};
use atomic_store_core::protocol::{
    Admitted, At, ClientFrame, Replay, Reply, Request, RequestError,
};
use atomic_store_core::{LoadOptions, PagePlace, ScopeName, Seq, ValidatorRef};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Frames longer than this are looked through before they are decoded.
const SKIM_BYTES: usize = 64 * 1024;
/// How long a request waits at a time for room in memory, and how often.
const ROOM_PAUSE: Duration = Duration::from_millis(1);
const ROOM_LOOKS: u32 = 2_000;
/// The least time between two reports of progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// The requests of one connection.
pub(crate) struct Requests {
    session: Arc<Session>,
    /// Appends of one read wake their loops together.
    burst: Burst,
    upload: Upload,
    offer: Upload,
    offered: Arc<Offered>,
    restores: Restores,
    started: u64,
    /// As many were answered when last looked.
    answered: u64,
    calls_max: u64,
}

impl Requests {
    pub(crate) fn new(session: Arc<Session>) -> Self {
        let calls_max = session.limits().session_calls_max.max(1) as u64;
        let burst = session.engine().burst();
        Requests {
            session,
            burst,
            upload: Upload::default(),
            offer: Upload::default(),
            offered: Arc::default(),
            restores: Restores::default(),
            started: 0,
            answered: 0,
            calls_max,
        }
    }

    /// How many calls were taken.
    pub(crate) fn started(&self) -> u64 {
        self.started
    }

    /// Wakes the loops of the appends taken so far.
    pub(crate) fn flush(&mut self) {
        self.burst.flush();
    }

    /// Waits, between two reads, until the client may go on.
    pub(crate) async fn rest(&mut self) {
        self.burst.flush();
        self.answered = self.session.out.ready(self.started, false).await;
    }

    /// Waits until the scope is in memory, or may come in: a client that starts many scopes at once is
    /// slowed down. Without room after a while it is refused.
    async fn wait_for_room(&mut self, scope: &ScopeName) -> bool {
        let mut looks = 0;
        while !self.burst.has_room(scope) && looks < ROOM_LOOKS {
            // Scopes leave when what they decided is durable, so that must be on its way.
            self.burst.flush();
            tokio::time::sleep(ROOM_PAUSE).await;
            looks += 1;
        }
        looks < ROOM_LOOKS
    }

    /// Takes one request.
    ///
    /// # Errors
    /// Why the bytes are not a request. The session cannot go on then.
    pub(crate) async fn take(&mut self, body: &[u8]) -> Result<(), String> {
        if self.started - self.answered >= self.calls_max {
            self.rest().await;
        }
        if body.len() > SKIM_BYTES
            && let Some((call, invalid)) = skim::too_much(body, self.session.limits())?
        {
            self.started += 1;
            self.session.out.reply(call, &skim::refusal(body, invalid));
            return Ok(());
        }
        if body.len() > SKIM_BYTES
            && let Some((call, why)) = restores::too_much(body, self.session.limits())
        {
            self.started += 1;
            self.session.out.reply(call, &Reply::Error(why));
            return Ok(());
        }
        if body.len() > SKIM_BYTES
            && let Some((call, why)) = skim_reads::too_much(body, self.session.limits())?
        {
            self.started += 1;
            self.session.out.reply(call, &Reply::Error(invalid(why)));
            return Ok(());
        }
        if body.len() > SKIM_BYTES
            && let Some((call, why)) = skim_batches::too_much(body, self.session.limits())?
        {
            self.started += 1;
            self.session.out.reply(call, &Reply::Error(invalid(why)));
            return Ok(());
        }
        let ClientFrame { call, request } = decode(body)?;
        if call == 0 {
            return Err("the number of a call is 0, which belongs to the session".to_owned());
        }
        if let Request::Append(append) = request {
            let room = self.wait_for_room(&append.scope).await;
            self.started += 1;
            let to = &self.session.reply_to;
            if room {
                self.burst.append_with_room(append, to, call);
            } else {
                self.burst.append(append, to, call);
            }
            return Ok(());
        }
        if let Request::Query { scope, name, args, at } = request {
            self.burst.flush();
            self.answered = self.session.out.ready(self.started, true).await;
            self.started += 1;
            if at != At::Head {
                let session = Arc::clone(&self.session);
                tokio::spawn(past::query(session, call, scope, (name, args), at));
                return Ok(());
            }
            let to = &self.session.reply_to;
            self.session.engine().query(&scope, name, args, to, call);
            return Ok(());
        }
        self.other(call, request);
        Ok(())
    }

    fn other(&mut self, call: u64, request: Request) {
        let request = match wanted(request) {
            Ok((selection, limit)) => return self.select(call, selection, limit),
            Err(other) => *other,
        };
        match request {
            Request::AppendJoint(append) => {
                // Behind the appends before it.
                self.burst.flush();
                self.started += 1;
                self.session.engine().append_joint(append, &self.session.reply_to, call);
            }
            Request::Judge { correlation, verdict } => {
                self.started += 1;
                let judged =
                    self.session.engine().judge(correlation, verdict, &self.session.reply_to);
                let reply = judged.map_or_else(Reply::Error, |()| Reply::Done);
                self.session.out.reply(call, &reply);
            }
            Request::Verify { scope } => self.verify(call, scope),
            Request::VerifyLogic { scope, after } => self.logic(call, scope, after, Seq::ZERO),
            Request::ResumeLogic { scope, after } => {
                self.logic(call, Some(scope), String::new(), after);
            }
            Request::SubscribeRejections { scope, after } => {
                let Some(stream) = self.stream(call, true) else { return };
                tokio::spawn(rejections::follow(Arc::clone(&self.session), stream, scope, after));
            }
            Request::Cancel { call: stream } => {
                self.started += 1;
                self.session.cancel(stream, call);
                let why = "the client gave it up";
                self.session.engine().withdraw(&self.session.reply_to, Some(stream), why);
            }
            Request::History { scope, name, args, after, through, limit } => {
                let ask = past::Ask { scope, name, args, after, through, limit };
                let Some(stream) = self.stream(call, false) else { return };
                tokio::spawn(past::history(Arc::clone(&self.session), stream, ask));
            }
            Request::WhatIf { scope, batches, query } => {
                let Some(stream) = self.stream(call, false) else { return };
                match self.session.engine().admit(&batches) {
                    Ok(admitted) => {
                        let session = Arc::clone(&self.session);
                        let work = past::what_if(session, stream, admitted, scope, batches, query);
                        tokio::spawn(work);
                    }
                    Err(why) => stream.finish(&Reply::Error(why)),
                }
            }
            Request::Backtest { candidate, against, scopes, after, config } => {
                let against = Against { validator: against, scopes, after, config };
                self.backtest(call, candidate, against);
            }
            Request::Bundle { scope, of } => {
                let Some(stream) = self.stream(call, false) else { return };
                tokio::spawn(proofs::bundle(Arc::clone(&self.session), stream, scope, of));
            }
            Request::LoadValidator { part, last } => self.load(call, &part, last),
            Request::OfferValidator { part, last } => self.offer(call, &part, last),
            Request::AdmitValidator { part, last } => self.admit(call, &part, last),
            Request::RestoreScope { scope, records, last, from } => {
                let (restores, hub) = (self.restores.clone(), Arc::clone(&self.session.hub));
                let part = Part { scope, records, last, from };
                self.task(call, move |_| restores.part(&hub, part));
            }
            other => self.task(call, |engine| answer(engine, other)),
        }
    }

    /// Judges appends again: of all scopes after `after`, or of one behind `judged`.
    fn logic(&mut self, call: u64, scope: Option<ScopeName>, after: String, judged: Seq) {
        let Some(stream) = self.stream(call, false) else { return };
        let session = Arc::clone(&self.session);
        tokio::spawn(proofs::logic(session, stream, scope, after, judged));
    }

    fn backtest(&mut self, call: u64, candidate: Option<ValidatorRef>, against: Against) {
        let Some(stream) = self.stream(call, false) else { return };
        let trial = candidate.ok_or_else(|| Arc::clone(&self.offered));
        tokio::spawn(proofs::backtest(Arc::clone(&self.session), stream, trial, against));
    }

    fn stream(&mut self, call: u64, subscription: bool) -> Option<Streaming> {
        // A subscription has its own cap; it would otherwise hold a place among the calls for ever.
        self.started += u64::from(!subscription);
        match self.session.stream(call, subscription) {
            Ok(stream) => Some(stream),
            Err(why) => {
                self.started += u64::from(subscription);
                self.session.out.reply(call, &Reply::Error(why));
                None
            }
        }
    }

    /// A subscription, or a read if there is a limit.
    fn select(&mut self, call: u64, selection: Selection, limit: Option<u64>) {
        let Some(stream) = self.stream(call, limit.is_none()) else { return };
        let Some(feed) = Feed::start(Arc::clone(&self.session), stream, selection) else { return };
        match limit {
            Some(limit) => drop(tokio::spawn(feed.read(limit))),
            None => drop(tokio::spawn(feed.subscribe())),
        }
    }

    fn verify(&mut self, call: u64, scope: Option<ScopeName>) {
        let Some(stream) = self.stream(call, false) else { return };
        let session = Arc::clone(&self.session);
        tokio::spawn(async move {
            let hub = Arc::clone(&session.hub);
            let stream = Arc::new(stream);
            let work = {
                let stream = Arc::clone(&stream);
                move || verify(session.engine(), scope.as_ref(), &stream)
            };
            let end = tokio::select! {
                _ = stream.stopped() => return,
                end = blocking(&hub.verifications, work) => end,
            };
            stream.finish(&end.unwrap_or_else(|| Reply::Error(lost())));
        });
    }

    fn load(&mut self, call: u64, part: &[u8], last: bool) {
        self.upload(call, part, last, |engine, component| {
            let loaded = engine.load_with(component, &LoadOptions::default())?;
            let Admitted { info, new, bindings, .. } = loaded;
            Ok(Reply::Validator { info, new, bindings })
        });
    }

    fn admit(&mut self, call: u64, part: &[u8], last: Option<LoadOptions>) {
        let (last, options) = (last.is_some(), last.unwrap_or_default());
        self.upload(call, part, last, move |engine, component| {
            engine
                .load_with(component, &options)
                .map(|admitted| Reply::Admitted(Box::new(admitted)))
        });
    }

    /// Takes a part of a component; the whole is then worked on.
    fn upload(
        &mut self,
        call: u64,
        part: &[u8],
        last: bool,
        work: impl FnOnce(&Engine, &[u8]) -> Result<Reply, RequestError> + Send + 'static,
    ) {
        match self.upload.part(&self.session.hub, part, last) {
            Ok(Some(whole)) => self.task(call, move |engine| work(engine, whole.bytes())),
            Ok(None) => {
                self.started += 1;
                self.session.out.reply(call, &Reply::Done);
            }
            Err(why) => {
                self.started += 1;
                self.session.out.reply(call, &Reply::Error(why));
            }
        }
    }

    /// Takes a part of a component that is put on trial.
    fn offer(&mut self, call: u64, part: &[u8], last: bool) {
        let reply = match self.offer.part(&self.session.hub, part, last) {
            Ok(Some(whole)) => {
                let (offered, hub) = (Arc::clone(&self.offered), Arc::clone(&self.session.hub));
                return self.task(call, move |_| offered.admit(&hub, whole.bytes()));
            }
            Ok(None) => Reply::Done,
            Err(why) => Reply::Error(why),
        };
        self.started += 1;
        self.session.out.reply(call, &reply);
    }

    /// Answers a call with what some work gives that may block.
    fn task(
        &mut self,
        call: u64,
        work: impl FnOnce(&Engine) -> Result<Reply, RequestError> + Send + 'static,
    ) {
        self.started += 1;
        let session = Arc::clone(&self.session);
        tokio::spawn(async move {
            let hub = Arc::clone(&session.hub);
            let reply = blocking(&session.hub.tasks, move || work(&hub.engine)).await;
            let reply = reply.unwrap_or_else(|| Err(lost())).unwrap_or_else(Reply::Error);
            session.out.reply(call, &reply);
        });
    }
}

/// What a read or a subscription asks for, and the limit of a read; other requests come back.
fn wanted(request: Request) -> Result<(Selection, Option<u64>), Box<Request>> {
    let forwards = |scope, after, through, filter, replay| Selection {
        scope,
        place: PagePlace { after, through, past: 0 },
        backwards: false,
        filter,
        replay,
    };
    Ok(match request {
        Request::Read { scope, after, through, limit, backwards, filter, replay } => {
            let selection = forwards(Some(scope), after.0, through.0, filter, replay);
            (Selection { backwards, ..selection }, Some(limit))
        }
        Request::ReadOrder { after, through, limit, backwards, filter } => {
            let selection = forwards(None, after.0, through.0, filter, Replay::Off);
            (Selection { backwards, ..selection }, Some(limit))
        }
        Request::Subscribe { scope, after, filter, replay } => {
            (forwards(Some(scope), after.0, u64::MAX, filter, replay), None)
        }
        Request::SubscribeOrder { after, filter } => {
            (forwards(None, after.0, u64::MAX, filter, Replay::Off), None)
        }
        Request::ResumeReplay { scope, after, through, past, limit, filter, replay } => {
            let selection = forwards(Some(scope), after.0, through.0, filter, replay);
            let place = PagePlace { past: past.0, ..selection.place };
            (Selection { place, ..selection }, limit)
        }
        other => return Err(Box::new(other)),
    })
}

/// Requests with one answer that may wait for the disk.
fn answer(engine: &Engine, request: Request) -> Result<Reply, RequestError> {
    match request {
        Request::ShowScope { scope } => {
            engine.show_scope(&scope).map(Reply::Scope).map_err(|why| failed(&why))
        }
        Request::ListScopes { live, prefix, after, limit } => {
            let page = engine.limits().page_events_max;
            let limit = usize::try_from(limit).unwrap_or(page).min(page);
            if live {
                return Ok(Reply::Scopes(engine.list_live(&prefix, &after, limit)));
            }
            let scopes = engine.list_scopes(&prefix, &after, limit);
            scopes.map(Reply::Scopes).map_err(|why| failed(&why))
        }
        Request::ListValidators => {
            let (loaded, bindings) = engine.validators();
            Ok(Reply::Validators { loaded, bindings })
        }
        Request::ShowValidator { validator } => {
            let (info, bindings) = engine.validator(&validator)?;
            Ok(Reply::Validator { info, new: false, bindings })
        }
        Request::ShowAdmission { validator } => {
            engine.admission(&validator).map(|admitted| Reply::Admitted(Box::new(admitted)))
        }
        Request::Bind { pattern, validator, config } => {
            engine.bind(pattern, &validator, config).map(Reply::Bound)
        }
        Request::Unbind { pattern } => engine.unbind(&pattern).map(|()| Reply::Done),
        Request::SealScope { scope, why } => engine.seal_scope(&scope, &why).map(|()| Reply::Done),
        Request::UnsealScope { scope } => engine.unseal_scope(&scope).map(|()| Reply::Done),
        Request::DeleteScope { scope, head } => {
            engine.delete_scope(&scope, head).map(|events| Reply::Deleted { events })
        }
        Request::ReadRejections { scope, after, limit } => {
            let page = engine.rejections(scope.as_ref(), after, limit);
            page.map(Reply::Rejections).map_err(|why| failed(&why))
        }
        Request::Upcast { scope, seqs } => engine.upcast(&scope, &seqs).map(Reply::Upcast),
        Request::CountRejections { scope } => {
            Ok(Reply::RejectionCounts(engine.count_rejections(scope.as_ref())))
        }
        Request::LocateRejections { scope, last } => {
            Ok(Reply::RejectionsEnd(engine.rejections_end(scope.as_ref(), last)))
        }
        Request::Upgrade(request) => engine.upgrade(request).map(Reply::Upgrade),
        Request::Snapshots(request) => engine.snapshots(request).map(Reply::Snapshots),
        Request::Status => Ok(Reply::Status(Box::new(engine.status()))),
        _ => {
            let (field, why) = ("request".into(), "this server does not know it".into());
            Err(RequestError::Invalid { field, why })
        }
    }
}

fn verify(engine: &Engine, scope: Option<&ScopeName>, stream: &Streaming) -> Reply {
    let mut told = Instant::now();
    let report = engine.verify(scope, &mut |scopes, of_scopes, events| {
        if stream.must_end() {
            return ControlFlow::Break(());
        }
        if told.elapsed() >= PROGRESS_EVERY {
            told = Instant::now();
            stream.push(&Reply::Progress { scopes, of_scopes, events });
        }
        ControlFlow::Continue(())
    });
    report.map_or_else(|why| Reply::Error(failed(&why)), Reply::Verified)
}
