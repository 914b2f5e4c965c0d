//! Moves money between accounts of `examples/ledger` with joint appends, from several clients at once,
//! and counts what is there at the end:
//!
//! ```text
//! atomic-store serve --data data &
//! atomic-store validator load target/guests/ledger.wasm
//! atomic-store validator bind 'ledger/*' ledger@1
//! cargo run --release -p atomic-store-client --example transfers -- data/run/atomic-store.sock
//! ```

use atomic_store_client::{Client, Options};
use atomic_store_core::{
    JointAppend, JointOutcome, Outcome, Part, PartOutcome, Proposal, ScopeName, Seq,
};
use std::error::Error;

const ACCOUNTS: [&str; 4] = ["ledger/ann", "ledger/bob", "ledger/eve", "ledger/joe"];
const CLIENTS: usize = 4;
const TRANSFERS: usize = 500;

type Failed = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let address = std::env::args().nth(1).unwrap_or("data/run/atomic-store.sock".to_owned());
    let client = Client::connect(address.parse()?, Options::default()).await?;
    let before = total(&client).await?;
    for account in ACCOUNTS {
        let deposit = Proposal::json("deposit", r#"{"cents":10000}"#);
        let answer = client.append_one(&ScopeName::new(account)?, deposit).await?;
        if !matches!(answer.outcome, Outcome::Committed(_)) {
            return Err(format!("{account}: {:?}", answer.outcome).into());
        }
    }
    let mut movers = Vec::new();
    for number in 0..CLIENTS {
        let client = Client::connect(address.parse()?, Options::default()).await?;
        movers.push(tokio::spawn(transfers(client, number)));
    }
    let (mut moved, mut refused) = (0, 0);
    for mover in movers {
        let (m, r) = mover.await??;
        (moved, refused) = (moved + m, refused + r);
    }
    let after = total(&client).await?;
    println!("{moved} transfers, {refused} refused for want of money");
    println!("{before} cents before, {after} after deposits of 40000");
    if after == before + 40_000 { Ok(()) } else { Err("money was lost or made".into()) }
}

/// Pays back and forth, sometimes more than is there.
async fn transfers(client: Client, number: usize) -> Result<(usize, usize), Failed> {
    let (mut moved, mut refused) = (0, 0);
    for n in 0..TRANSFERS {
        let from = ACCOUNTS[(number + n) % ACCOUNTS.len()];
        let to = ACCOUNTS[(number + n * 7 + 1) % ACCOUNTS.len()];
        if from == to {
            continue;
        }
        let cents = (n * 7919 + number * 104_729) % 9_000 + 1;
        let leg = |kind, other, key: &str| {
            Proposal::json(kind, format!(r#"{{"cents":{cents},"{key}":"{other}"}}"#))
        };
        let paid = Part::new(ScopeName::new(from)?, vec![leg("paid", to, "to")]);
        let received = Part::new(ScopeName::new(to)?, vec![leg("received", from, "from")]);
        let (id, parts) = (client.new_id(), vec![paid, received]);
        let transfer = JointAppend { id, repeated: false, dry_run: false, parts };
        match client.append_joint(transfer).await?.outcome {
            JointOutcome::Committed(_) => moved += 1,
            JointOutcome::Refused(PartOutcome { outcome: Outcome::Rejected(_), .. }) => {
                refused += 1
            }
            other => return Err(format!("{other:?}").into()),
        }
    }
    Ok((moved, refused))
}

/// What all accounts hold together, counted from their events.
async fn total(client: &Client) -> Result<u64, Failed> {
    let mut total = 0;
    for account in ACCOUNTS {
        let mut events = client.read(&ScopeName::new(account)?, Seq::ZERO, Seq::MAX, u64::MAX);
        let mut held = 0_u64;
        while let Some(event) = events.next().await {
            let event = event?;
            let text = String::from_utf8(event.payload)?;
            let digits = text.chars().skip_while(|c| !c.is_ascii_digit());
            let cents: u64 = digits.take_while(char::is_ascii_digit).collect::<String>().parse()?;
            held = match event.kind.as_str() {
                "deposit" | "received" => held + cents,
                _ => held.checked_sub(cents).ok_or("an account was overdrawn")?,
            };
        }
        total += held;
    }
    Ok(total)
}
