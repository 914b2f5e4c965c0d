//! A ledger of accounts: nobody spends what is not there.
//!
//! One scope is one account. Amounts are whole cents. Its events:
//!
//! | kind       | payload                               |                                             |
//! |------------|---------------------------------------|---------------------------------------------|
//! | `deposit`  | `{"cents": 1000}`                     | from outside                                |
//! | `withdraw` | `{"cents": 250}`                      | to outside, if that much is there           |
//! | `paid`     | `{"cents": 250, "to": "ledger/bob"}`  | one leg of a transfer, if that much is there |
//! | `received` | `{"cents": 250, "from": "ledger/ann"}`| the other leg                               |
//!
//! A transfer is one joint append: `paid` to one account and `received` to the other. The store keeps
//! both or neither, so no cent is lost or made on the way; that both legs name the same sum is the
//! duty of whoever sends them. Query `balance`: `{"cents": 750, "entries": 2}`.

use atomic_store_guest::{Event, KindInfo, Proposal, Validator, Verdict, accept, reject, to_json};
use serde::{Deserialize, Serialize};

/// The rules.
pub struct Ledger;

/// What is there.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub struct Account {
    cents: u64,
    entries: u64,
}

/// What every entry says. The other account is for readers.
#[derive(Deserialize)]
struct Entry {
    cents: u64,
}

/// The most that an account may hold. JSON readers that know only floating-point numbers still read
/// it exactly.
const CENTS_MAX: u64 = (1 << 53) - 1;

/// In which direction an entry goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

fn way(kind: &str) -> Option<Way> {
    match kind {
        "deposit" | "received" => Some(Way::In),
        "withdraw" | "paid" => Some(Way::Out),
        _ => None,
    }
}

impl Validator for Ledger {
    const NAME: &'static str = "ledger";
    const VERSION: &'static str = "1.0.0";
    type State = Account;
    type Config = ();

    fn kinds() -> Vec<KindInfo> {
        let entry = r#"{"type":"object","required":["cents"],"properties":{"cents":{"type":"integer","minimum":1}}}"#;
        let kinds = ["deposit", "withdraw", "paid", "received"];
        kinds.into_iter().map(|kind| KindInfo::new(kind).schema(entry)).collect()
    }

    fn init(_scope: &str, _config: ()) -> Result<Account, String> {
        Ok(Account::default())
    }

    fn apply(account: &mut Account, event: &Event) {
        let (Some(way), Ok(Entry { cents })) = (way(&event.kind), event.json()) else { return };
        account.cents = match way {
            Way::In => account.cents.saturating_add(cents),
            Way::Out => account.cents.saturating_sub(cents),
        };
        account.entries += 1;
    }

    fn validate(account: &Account, proposal: &Proposal) -> Verdict {
        let Some(way) = way(&proposal.kind) else { return Err(proposal.unknown_kind()) };
        let Entry { cents } = proposal.json()?;
        if cents == 0 {
            return Err(reject("nothing", "an entry moves at least one cent"));
        }
        let there = account.cents;
        match way {
            Way::Out if cents > there => {
                Err(reject("overdraft", format!("{cents} cents are asked for, {there} are there")))
            }
            Way::In if cents > CENTS_MAX - there => {
                Err(reject("too-much", format!("an account holds {CENTS_MAX} cents at most")))
            }
            Way::In | Way::Out => Ok(accept()),
        }
    }

    fn query(account: &Account, name: &str, _args: &[u8]) -> Result<Vec<u8>, String> {
        match name {
            "balance" => Ok(to_json(account)?),
            _ => Err(format!("an account has no query {name:?}, but \"balance\"")),
        }
    }
}

atomic_store_guest::export!(Ledger);

#[cfg(test)]
mod tests {
    use super::{CENTS_MAX, Ledger};
    use atomic_store_guest::testing::{Harness, json};

    #[test]
    fn nobody_spends_what_is_not_there() {
        let mut account = Harness::<Ledger>::new();
        account.propose("withdraw", json!({"cents": 1})).rejected("overdraft");
        account.propose("deposit", json!({"cents": 100})).accepted();
        account.propose("paid", json!({"cents": 60, "to": "ledger/bob"})).accepted();
        let reason = account.propose("withdraw", json!({"cents": 41}));
        reason.rejected_because("overdraft", "41 cents are asked for, 40 are there");
        account.propose("withdraw", json!({"cents": 40})).accepted();
        assert_eq!(account.query("balance", ""), Ok(br#"{"cents":0,"entries":3}"#.to_vec()));
    }

    #[test]
    fn sums_are_whole_cents_and_stay_exact() {
        let mut account = Harness::<Ledger>::new();
        account.propose("deposit", json!({"cents": 0})).rejected("nothing");
        for bad in [json!({"cents": -5}), json!({"cents": 1.5}), json!({"cents": "5"}), json!({})] {
            account.propose("deposit", bad).rejected("malformed");
        }
        account.propose("deposit", json!({"cents": CENTS_MAX})).accepted();
        account.propose("received", json!({"cents": 1})).rejected("too-much");
        account.propose("loan", json!({"cents": 1})).rejected("unknown-kind");
    }

    #[test]
    fn an_account_can_only_be_asked_for_its_balance() {
        let account = &mut Harness::<Ledger>::new();
        assert!(account.query("owner", "").is_err());
    }
}
