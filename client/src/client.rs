//! The handle: calls with one reply.

use crate::call::Call;
use crate::feed::{Feed, Next, unexpected};
use crate::ids::Ids;
use crate::shared::{CallRules, Shared};
use crate::slots::CallEnd;
use crate::wire::{self, Wire};
use crate::{Address, ClientError, EventStream, Options, OrderStream, connection};
use crate::{Selection, SelectionStream};
use atomic_store_core::protocol::{
    At, Reply, Request, ScopeInfo, StoreId, StoreStatus, VerifyReport,
};
use atomic_store_core::{AppendId, Binding, Limits, Position, RuleInfo, ScopeName, ScopePattern};
use atomic_store_core::{Seq, ValidatorRef};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// A handle on one connection. Clones share it; the last one closes it.
#[derive(Clone)]
pub struct Client {
    pub(crate) handle: Arc<Handle>,
}

/// What clones and streams hold; its end is the end of the connection.
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) upload: tokio::sync::Mutex<()>,
    pub(crate) restore: tokio::sync::Mutex<()>,
    ids: Ids,
}

/// A validator in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The validator.
    pub info: RuleInfo,
    /// False if it was there already.
    pub new: bool,
    /// Its bindings.
    pub bindings: Vec<Binding>,
}

/// Sending it twice does no harm.
pub(crate) const AGAIN: CallRules = CallRules { resend: true, link: None };
/// Sent once; if the answer is lost the caller decides what to do.
pub(crate) const ONCE: CallRules = CallRules { resend: false, link: None };

impl Client {
    /// Connects to a server. Must be called within a tokio runtime, which then serves the
    /// connection.
    ///
    /// # Errors
    /// [`ClientError`]: one attempt was made, and failed.
    pub async fn connect(address: Address, options: Options) -> Result<Client, ClientError> {
        let wire = wire::connect(&address, &options).await?;
        Ok(Client::start(wire, options, Some(address)))
    }

    /// Talks over a given stream, which cannot be replaced when it breaks.
    ///
    /// # Errors
    /// [`ClientError`]: the greeting failed.
    pub async fn over<S>(stream: S) -> Result<Client, ClientError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (reading, writing) = tokio::io::split(stream);
        let options = Options::default();
        let after = options.connect_timeout;
        let greeting = wire::greet(Box::new(reading), Box::new(writing));
        match tokio::time::timeout(after, greeting).await {
            Ok(wire) => Ok(Client::start(wire?, options, None)),
            Err(_) => Err(ClientError::Timeout { what: "greeting", after }),
        }
    }

    fn start(wire: Wire, options: Options, address: Option<Address>) -> Client {
        let reconnects = options.reconnect && address.is_some();
        let shared = Shared::new(wire.store, wire.limits.clone(), options, reconnects);
        tokio::spawn(connection::run(Arc::clone(&shared), wire, address));
        let (upload, restore) = (tokio::sync::Mutex::new(()), tokio::sync::Mutex::new(()));
        Client { handle: Arc::new(Handle { shared, upload, restore, ids: Ids::new() }) }
    }

    /// The identity of the store.
    #[must_use]
    pub fn store(&self) -> StoreId {
        self.handle.shared.store
    }

    /// What the store allows.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits::clone(&self.handle.shared.lock().limits)
    }

    /// An append id that nobody else makes: a UUID of version 7.
    #[must_use]
    pub fn new_id(&self) -> AppendId {
        self.handle.ids.next()
    }

    /// Reads the events of a selection. A scope that was never written is empty.
    #[must_use]
    pub fn select(&self, selection: &Selection) -> SelectionStream {
        let left = Some(selection.limit);
        SelectionStream::new(Arc::clone(&self.handle), selection.clone(), left)
    }

    /// The events of a selection, then each new one that belongs to it; never ends by itself. Its
    /// limit does not count.
    #[must_use]
    pub fn follow(&self, selection: &Selection) -> SelectionStream {
        SelectionStream::new(Arc::clone(&self.handle), selection.clone(), None)
    }

    /// Reads events of a scope: those after `after` up to `through`, at most `limit`. A scope that
    /// was never written is empty.
    #[must_use]
    pub fn read(&self, scope: &ScopeName, after: Seq, through: Seq, limit: u64) -> EventStream {
        let selection = Selection::of(scope).after(after.0).through(through.0).limit(limit);
        EventStream::new(self.select(&selection))
    }

    /// Reads events of all scopes in their common order: at most `limit` after a position.
    #[must_use]
    pub fn read_order(&self, after: Position, limit: u64) -> OrderStream {
        OrderStream::new(self.select(&Selection::all().after(after.0).limit(limit)))
    }

    /// Events of a scope after `after`, then each new one; never ends by itself.
    #[must_use]
    pub fn subscribe(&self, scope: &ScopeName, after: Seq) -> EventStream {
        EventStream::new(self.follow(&Selection::of(scope).after(after.0)))
    }

    /// Events of all scopes after a position, then each new one; never ends by itself.
    #[must_use]
    pub fn subscribe_order(&self, after: Position) -> OrderStream {
        OrderStream::new(self.follow(&Selection::all().after(after.0)))
    }

    /// What is known about a scope; nothing if it was never written.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn show_scope(&self, scope: &ScopeName) -> Result<Option<ScopeInfo>, ClientError> {
        match self.call(Request::ShowScope { scope: scope.clone() }, AGAIN).await? {
            Reply::Scope(info) => Ok(info),
            other => Err(unexpected(&other)),
        }
    }

    /// Scopes whose names start with `prefix` and come after `after`; at most `limit`, and at most
    /// a page. Ask again after the last name until nothing comes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_scopes(
        &self,
        prefix: &str,
        after: &str,
        limit: u64,
    ) -> Result<Vec<ScopeInfo>, ClientError> {
        self.scopes(false, prefix, after, limit).await
    }

    /// All loaded validators, and all bindings.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_validators(&self) -> Result<(Vec<RuleInfo>, Vec<Binding>), ClientError> {
        match self.call(Request::ListValidators, AGAIN).await? {
            Reply::Validators { loaded, bindings } => Ok((loaded, bindings)),
            other => Err(unexpected(&other)),
        }
    }

    /// One validator and its bindings.
    ///
    /// # Errors
    /// [`ClientError::Request`] if there is no such validator.
    pub async fn show_validator(&self, which: ValidatorRef) -> Result<Loaded, ClientError> {
        loaded(self.call(Request::ShowValidator { validator: which }, AGAIN).await?)
    }

    /// Lets a validator judge the scopes of a pattern from their next append on.
    ///
    /// # Errors
    /// [`ClientError`]; after [`ClientError::Closed`] the binding may be made or not.
    pub async fn bind(
        &self,
        pattern: ScopePattern,
        which: ValidatorRef,
        config: Option<Vec<u8>>,
    ) -> Result<Binding, ClientError> {
        match self.call(Request::Bind { pattern, validator: which, config }, ONCE).await? {
            Reply::Bound(binding) => Ok(binding),
            other => Err(unexpected(&other)),
        }
    }

    /// Removes a binding.
    ///
    /// # Errors
    /// [`ClientError`]; after [`ClientError::Closed`] the binding may be removed or not.
    pub async fn unbind(&self, pattern: ScopePattern) -> Result<(), ClientError> {
        match self.call(Request::Unbind { pattern }, ONCE).await? {
            Reply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks the state of a scope's validator: the head it is the state of, and its answer or its
    /// complaint.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn query(
        &self,
        scope: &ScopeName,
        name: &str,
        args: Vec<u8>,
    ) -> Result<(Seq, Result<Vec<u8>, String>), ClientError> {
        self.query_at(scope, name, args, At::Head).await
    }

    /// Checks chains, numbering and the order over all scopes, of one scope or of all. `progress`
    /// gets scopes checked, scopes to check, events checked.
    ///
    /// # Errors
    /// [`ClientError`]; what is damaged is part of the report, not an error.
    pub async fn verify(
        &self,
        scope: Option<ScopeName>,
        mut progress: impl FnMut(u64, u64, u64) + Send,
    ) -> Result<VerifyReport, ClientError> {
        let mut feed = Feed::open(&self.handle, &Request::Verify { scope }).await?;
        loop {
            match feed.next().await {
                Next::Reply(Reply::Progress { scopes, of_scopes, events }) => {
                    progress(scopes, of_scopes, events);
                }
                Next::Reply(Reply::Verified(report)) => return Ok(report),
                Next::Reply(other) => return Err(unexpected(&other)),
                Next::Cut => return Err(ClientError::closed("the verification was cut off")),
            }
        }
    }

    /// About the store.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn status(&self) -> Result<StoreStatus, ClientError> {
        match self.call(Request::Status, AGAIN).await? {
            Reply::Status(status) => Ok(*status),
            other => Err(unexpected(&other)),
        }
    }

    pub(crate) async fn call(
        &self,
        request: Request,
        rules: CallRules,
    ) -> Result<Reply, ClientError> {
        match Call::new(&self.handle.shared, request, rules).await.0 {
            CallEnd::Reply(Reply::Error(why)) => Err(why.into()),
            CallEnd::Reply(reply) => Ok(reply),
            CallEnd::Failed { why, .. } => Err(why),
        }
    }
}

/// The reply to a question about a validator.
pub(crate) fn loaded(reply: Reply) -> Result<Loaded, ClientError> {
    match reply {
        Reply::Validator { info, new, bindings } => Ok(Loaded { info, new, bindings }),
        other => Err(unexpected(&other)),
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.writer.notify_one();
    }
}
