//! Makes a component of a [`Validator`]: the macro, and the place where an instance lives.

use crate::instance::{Instance, describe};
use crate::memory::Call;
use crate::{Acceptance, Description, Event, NewEvent, Proposal, Refusal, Validator};
use std::cell::RefCell;

/// Exports a [`Validator`](crate::Validator) as the component's rules. Once in a crate, whose
/// `crate-type` is `cdylib`.
///
/// `export!(Mine, upcasting)` also exports [`Validator::upcast`](crate::Validator::upcast), for rules that
/// know older events.
///
/// Built for anything but WebAssembly it only checks that the type fits.
///
/// ```
/// # use atomic_store_guest::*;
/// # struct Mine;
/// # impl Validator for Mine {
/// #     const NAME: &'static str = "mine";
/// #     const VERSION: &'static str = "1.0.0";
/// #     type State = ();
/// #     type Config = ();
/// #     fn init(_: &str, _: ()) -> Result<(), String> { Ok(()) }
/// #     fn apply(_: &mut (), _: &Event) {}
/// #     fn validate(_: &(), _: &Proposal) -> Verdict { Ok(accept()) }
/// # }
/// atomic_store_guest::export!(Mine);
/// ```
#[macro_export]
macro_rules! export {
    ($validator:ty, upcasting) => {
        $crate::export!($validator);
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Upcasting;
            impl $crate::__private::GuestUpcasting for Upcasting {
                fn upcast(
                    events: ::std::vec::Vec<$crate::Event>,
                ) -> ::std::vec::Vec<::std::option::Option<$crate::NewEvent>> {
                    $crate::__private::upcast::<$validator>(&events)
                }
            }
            $crate::__private::export_upcasting!(
                Upcasting with_types_in $crate::__private::upcasts
            );
        };
    };
    ($validator:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::std::thread_local! {
                static SLOT: $crate::__private::Slot<$validator> =
                    const { $crate::__private::Slot::new() };
            }
            struct Component;
            impl $crate::__private::Guest for Component {
                fn describe() -> $crate::Description {
                    $crate::__private::Slot::<$validator>::describe()
                }
                fn init(
                    scope: ::std::string::String,
                    config: ::std::option::Option<::std::vec::Vec<u8>>,
                ) -> ::std::result::Result<(), ::std::string::String> {
                    SLOT.with(|slot| slot.init(&scope, config.as_deref()))
                }
                fn restore(
                    scope: ::std::string::String,
                    config: ::std::option::Option<::std::vec::Vec<u8>>,
                    snapshot: ::std::vec::Vec<u8>,
                ) -> ::std::result::Result<(), ::std::string::String> {
                    SLOT.with(|slot| slot.restore(&scope, config.as_deref(), &snapshot))
                }
                fn apply(events: ::std::vec::Vec<$crate::Event>) {
                    SLOT.with(|slot| slot.apply(&events))
                }
                fn validate(
                    proposals: ::std::vec::Vec<$crate::Proposal>,
                ) -> ::std::result::Result<::std::vec::Vec<$crate::Acceptance>, $crate::Refusal>
                {
                    SLOT.with(|slot| slot.validate(proposals))
                }
                fn snapshot() -> ::std::option::Option<::std::vec::Vec<u8>> {
                    SLOT.with(|slot| slot.snapshot())
                }
                fn query(
                    name: ::std::string::String,
                    args: ::std::vec::Vec<u8>,
                ) -> ::std::result::Result<::std::vec::Vec<u8>, ::std::string::String> {
                    SLOT.with(|slot| slot.query(&name, &args))
                }
            }
            impl $crate::__private::GuestPacked for Component {
                fn apply(events: ::std::vec::Vec<u8>) {
                    SLOT.with(|slot| slot.apply_packed(&events))
                }
                fn admit(
                    proposal: ::std::vec::Vec<u8>,
                ) -> ::std::result::Result<::std::option::Option<$crate::Acceptance>, $crate::Refusal>
                {
                    SLOT.with(|slot| slot.admit(&proposal))
                }
            }
            $crate::__private::export_component!(
                Component with_types_in $crate::__private::bindings
            );
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() -> $crate::Description = $crate::__private::Slot::<$validator>::describe;
    };
}

/// See the contract, `upcasting`.
#[must_use]
pub fn upcast<V: Validator>(events: &[Event]) -> Vec<Option<NewEvent>> {
    let _call = Call::begin();
    events.iter().map(V::upcast).collect()
}

/// Where the exported component keeps its one instance.
pub struct Slot<V: Validator>(RefCell<Option<Instance<V>>>);

impl<V: Validator> Slot<V> {
    /// Before `init` or `restore`.
    #[must_use]
    pub const fn new() -> Self {
        Slot(RefCell::new(None))
    }

    /// See the contract.
    #[must_use]
    pub fn describe() -> Description {
        let _call = Call::begin();
        report_panics();
        describe::<V>()
    }

    /// See the contract.
    ///
    /// # Errors
    /// The validator declined.
    pub fn init(&self, scope: &str, config: Option<&[u8]>) -> Result<(), String> {
        let _call = Call::begin();
        report_panics();
        self.0.replace(Some(Instance::init(scope, config)?));
        Ok(())
    }

    /// See the contract.
    ///
    /// # Errors
    /// The snapshot does not fit.
    pub fn restore(
        &self,
        scope: &str,
        config: Option<&[u8]>,
        snapshot: &[u8],
    ) -> Result<(), String> {
        let _call = Call::begin();
        report_panics();
        self.0.replace(Some(Instance::restore(scope, config, snapshot)?));
        Ok(())
    }

    /// See the contract.
    pub fn apply(&self, events: &[Event]) {
        let _call = Call::begin();
        let mut slot = self.0.borrow_mut();
        slot.as_mut().expect(NOT_STARTED).apply(events);
    }

    /// See the contract.
    ///
    /// # Errors
    /// The refusal.
    pub fn validate(&self, proposals: Vec<Proposal>) -> Result<Vec<Acceptance>, Refusal> {
        let _call = Call::begin();
        self.0.borrow().as_ref().expect(NOT_STARTED).validate(proposals)
    }

    /// See the contract, `packed`.
    pub fn apply_packed(&self, events: &[u8]) {
        let _call = Call::begin();
        let mut slot = self.0.borrow_mut();
        slot.as_mut().expect(NOT_STARTED).apply_packed(events);
    }

    /// See the contract, `packed`.
    ///
    /// # Errors
    /// The refusal.
    pub fn admit(&self, proposal: &[u8]) -> Result<Option<Acceptance>, Refusal> {
        let _call = Call::begin();
        self.0.borrow_mut().as_mut().expect(NOT_STARTED).admit(proposal)
    }

    /// See the contract.
    pub fn snapshot(&self) -> Option<Vec<u8>> {
        let _call = Call::begin();
        self.0.borrow().as_ref().expect(NOT_STARTED).snapshot()
    }

    /// See the contract.
    ///
    /// # Errors
    /// The validator's.
    pub fn query(&self, name: &str, args: &[u8]) -> Result<Vec<u8>, String> {
        let _call = Call::begin();
        self.0.borrow().as_ref().expect(NOT_STARTED).query(name, args)
    }
}

impl<V: Validator> Default for Slot<V> {
    fn default() -> Self {
        Self::new()
    }
}

/// The contract's order of calls, which the host keeps; a trap is the right answer to another.
const NOT_STARTED: &str = "the store calls init or restore before anything else";

/// Sends the text of a panic to the log, because the trap that follows carries none.
fn report_panics() {
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|panic| crate::log::error(panic.to_string())));
}
