//! A verdict under test, and the assertions on it.

use crate::{Acceptance, Reason, Refusal};

/// What the rules said to one append. Each method asserts and gives back what it found.
#[derive(Debug)]
#[must_use = "assert what the rules said: accepted() or rejected(code)"]
pub struct Answer(pub(super) Result<Vec<Acceptance>, Refusal>);

impl Answer {
    /// Asserts that it was accepted; gives an acceptance for each proposal.
    ///
    /// # Panics
    /// If it was rejected, with the reasons.
    #[track_caller]
    pub fn accepted(self) -> Vec<Acceptance> {
        match self.0 {
            Ok(acceptances) => acceptances,
            Err(refusal) => panic!("expected acceptance, but {}", told(&refusal)),
        }
    }

    /// Asserts that it was accepted, and that the last acceptance gave this reason.
    ///
    /// # Panics
    /// If it was rejected, or for another reason.
    #[track_caller]
    pub fn accepted_because(self, reason: &str) -> Vec<Acceptance> {
        let acceptances = self.accepted();
        let found = acceptances.last().and_then(|acceptance| acceptance.reason.as_deref());
        assert_eq!(found, Some(reason), "accepted for another reason");
        acceptances
    }

    /// Asserts that it was rejected with this code; gives the reason.
    ///
    /// # Panics
    /// If it was accepted, or rejected with other codes only.
    #[track_caller]
    pub fn rejected(self, code: &str) -> Reason {
        let refusal = self.refusal(code);
        let told = told(&refusal);
        match refusal.reasons.into_iter().find(|reason| reason.code == code) {
            Some(reason) => reason,
            None => panic!("expected rejection with {code:?}, but {told}"),
        }
    }

    /// Asserts that it was rejected with this code and this message.
    ///
    /// # Panics
    /// If it was not.
    #[track_caller]
    pub fn rejected_because(self, code: &str, message: &str) -> Reason {
        let reason = self.rejected(code);
        assert_eq!(reason.message, message, "rejected with {code:?} and another message");
        reason
    }

    /// Asserts that it was rejected with this code, and which proposal of the batch was the first
    /// to be refused, counted from 0.
    ///
    /// # Panics
    /// If it was not.
    #[track_caller]
    pub fn rejected_at(self, index: u32, code: &str) -> Reason {
        if let Err(refusal) = &self.0 {
            assert_eq!(refusal.index, index, "another proposal was refused: {}", told(refusal));
        }
        self.rejected(code)
    }

    /// True if it was accepted.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.0.is_ok()
    }

    #[track_caller]
    fn refusal(self, code: &str) -> Refusal {
        match self.0 {
            Ok(acceptances) => {
                panic!("expected rejection with {code:?}, but it was accepted: {acceptances:?}")
            }
            Err(refusal) => refusal,
        }
    }
}

fn told(refusal: &Refusal) -> String {
    let reasons: Vec<String> =
        refusal.reasons.iter().map(|r| format!("{}: {}", r.code, r.message)).collect();
    format!("proposal {} was rejected: {}", refusal.index, reasons.join("; "))
}
