//! A validator's answer to one proposal, and the words to make one.
//!
//! Invariant: text made here keeps the contract's caps, because it often quotes untrusted input
//! and an answer over a cap counts as a fault of the validator.

use crate::{Acceptance, NewEvent, Output, Reason, Refusal};

/// The cap of the contract on a sentence.
const MESSAGE_BYTES_MAX: usize = 1024;

/// Yes or no to one proposal; a [`Result`], so that `?` rejects.
pub type Verdict = Result<Acceptance, Rejection>;

/// No to a proposal: one or more reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection(Box<Parts>);

/// Boxed, because a verdict is moved more often than it is a rejection.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    /// At least one.
    reasons: Vec<Reason>,
    meta: Option<Vec<u8>>,
}

/// Yes: store the event as proposed.
///
/// ```
/// # use atomic_store_guest::accept;
/// let yes = accept().reason("the highest bid").meta(br#"{"rank":1}"#);
/// assert_eq!(yes.reason.as_deref(), Some("the highest bid"));
/// ```
#[must_use]
pub fn accept() -> Acceptance {
    Acceptance { events: None, reason: None, meta: None, outputs: Vec::new() }
}

/// Yes, but store these events instead: a command becomes its effects. None at all is allowed:
/// then nothing is stored, and the outcome is a noop. `examples/seats` does both.
///
/// ```
/// # use atomic_store_guest::{accept_instead, NewEvent};
/// let yes = accept_instead([NewEvent::json("reserved", &12)?, NewEvent::json("sold-out", &())?]);
/// # Ok::<(), atomic_store_guest::EncodeError>(())
/// ```
#[must_use]
pub fn accept_instead(events: impl IntoIterator<Item = NewEvent>) -> Acceptance {
    Acceptance { events: Some(events.into_iter().collect()), ..accept() }
}

/// No, with a short word for programs and a sentence for people.
///
/// ```
/// # use atomic_store_guest::reject;
/// let no = reject("too-low", format!("the highest bid is {}", 95)).seqs([7]);
/// ```
#[must_use]
pub fn reject(code: impl Into<String>, message: impl Into<String>) -> Rejection {
    let message = shorten(message.into());
    let reason = Reason { code: code.into(), message, data: None, seqs: Vec::new() };
    Rejection(Box::new(Parts { reasons: vec![reason], meta: None }))
}

impl Acceptance {
    /// Adds a sentence for the caller. Of a batch the caller gets the first one.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Acceptance {
        self.reason = Some(shorten(reason.into()));
        self
    }

    /// Adds data for the caller, at most 64 KiB. It is not stored. Of a batch the caller gets the first
    /// one; of a command that stores nothing, none.
    #[must_use]
    pub fn meta(mut self, meta: impl Into<Vec<u8>>) -> Acceptance {
        self.meta = Some(meta.into());
        self
    }

    /// Adds something for a channel, committed together with the event.
    #[must_use]
    pub fn output(mut self, channel: impl Into<String>, payload: impl Into<Vec<u8>>) -> Acceptance {
        self.outputs.push(Output { channel: channel.into(), payload: payload.into() });
        self
    }
}

impl Rejection {
    /// Adds details for programs to the last reason, at most 64 KiB.
    #[must_use]
    pub fn data(self, data: impl Into<Vec<u8>>) -> Rejection {
        self.last(|reason| reason.data = Some(data.into()))
    }

    /// Names the earlier events that caused the last reason.
    #[must_use]
    pub fn seqs(self, seqs: impl IntoIterator<Item = u64>) -> Rejection {
        self.last(|reason| reason.seqs = seqs.into_iter().collect())
    }

    /// Adds data for the caller, at most 64 KiB.
    #[must_use]
    pub fn meta(mut self, meta: impl Into<Vec<u8>>) -> Rejection {
        self.0.meta = Some(meta.into());
        self
    }

    /// Adds the reasons of another rejection; at most 16 in all.
    #[must_use]
    pub fn and(mut self, other: Rejection) -> Rejection {
        self.0.reasons.extend(other.0.reasons);
        self.0.meta = self.0.meta.or(other.0.meta);
        self
    }

    /// The reasons, in the order they were given.
    #[must_use]
    pub fn reasons(&self) -> &[Reason] {
        &self.0.reasons
    }

    /// The refusal of an append, by its proposal number `index`.
    pub(crate) fn into_refusal(self, index: u32) -> Refusal {
        let Parts { reasons, meta } = *self.0;
        Refusal { index, reasons, meta }
    }

    fn last(mut self, change: impl FnOnce(&mut Reason)) -> Rejection {
        if let Some(reason) = self.0.reasons.last_mut() {
            change(reason);
        }
        self
    }
}

impl From<Acceptance> for Verdict {
    fn from(acceptance: Acceptance) -> Verdict {
        Ok(acceptance)
    }
}

impl From<Rejection> for Verdict {
    fn from(rejection: Rejection) -> Verdict {
        Err(rejection)
    }
}

/// Cuts a sentence to the cap, between characters, and shows that it was cut.
pub(crate) fn shorten(mut text: String) -> String {
    const MARK: &str = " ...";
    if text.len() > MESSAGE_BYTES_MAX {
        text.truncate(text.floor_char_boundary(MESSAGE_BYTES_MAX - MARK.len()));
        text.push_str(MARK);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_at_the_cap_stays_and_one_byte_more_is_cut_between_characters() {
        let at_cap = "x".repeat(MESSAGE_BYTES_MAX);
        assert_eq!(shorten(at_cap.clone()), at_cap);

        let over = shorten("\u{e4}".repeat(MESSAGE_BYTES_MAX / 2) + "x");
        assert!(over.len() <= MESSAGE_BYTES_MAX, "{} bytes", over.len());
        assert!(over.ends_with("\u{e4} ..."), "{over}");
    }

    #[test]
    fn details_go_to_the_reason_named_last() {
        let no = reject("a", "1").seqs([1]).and(reject("b", "2")).data(b"d").seqs([2, 3]);
        let seen: Vec<_> = no
            .reasons()
            .iter()
            .map(|r| (r.code.as_str(), r.data.as_deref(), &r.seqs[..]))
            .collect();
        assert_eq!(seen, [("a", None, &[1][..]), ("b", Some(&b"d"[..]), &[2, 3][..])]);
        assert_eq!(no.into_refusal(4).index, 4);
    }
}
