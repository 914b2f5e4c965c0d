//! The rules of `examples/auction`, for peers whose client decides. The same decisions from the same
//! past; a test holds them against each other in words.

/// What the rules need to know of the past of an auction. Amounts are whole cents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fold {
    /// The opening bid, once it is fixed.
    pub(crate) opening: Option<i64>,
    /// The highest bid.
    pub(crate) highest: Option<i64>,
    /// True once it is closed.
    pub(crate) closed: bool,
}

/// Why a bid is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Nothing follows the close.
    Closed,
    /// Below the opening bid.
    BelowOpening,
    /// Not above the highest bid.
    TooLow,
}

impl Fold {
    /// Judges a bid.
    pub(crate) fn judge(&self, amount: i64) -> Result<(), Refused> {
        if self.closed {
            return Err(Refused::Closed);
        }
        if amount < self.opening.unwrap_or_default() {
            return Err(Refused::BelowOpening);
        }
        match self.highest {
            Some(highest) if amount < highest + 1 => Err(Refused::TooLow),
            _ => Ok(()),
        }
    }

    /// Takes in a bid that was accepted.
    pub(crate) fn bid(&mut self, amount: i64) {
        self.highest = Some(amount);
    }
}

#[cfg(test)]
mod tests {
    use super::{Fold, Refused};

    #[test]
    fn a_bid_beats_the_highest_and_is_no_less_than_the_opening_one() {
        let mut fold = Fold { opening: Some(9_500), ..Fold::default() };
        assert_eq!(fold.judge(9_499), Err(Refused::BelowOpening));
        assert_eq!(fold.judge(9_500), Ok(()));
        fold.bid(11_500);
        assert_eq!(fold.judge(11_500), Err(Refused::TooLow));
        assert_eq!(fold.judge(11_501), Ok(()));
        fold.closed = true;
        assert_eq!(fold.judge(20_000), Err(Refused::Closed));
    }
}
