//! Seats of a show: a command comes in, the seats that the rules chose come out.
//!
//! Command `reserve`: `{"booking": "ann", "count": 2, "row": "B"}`; without `row` any will do. It is stored as
//! one event `seat-taken` per seat: `{"booking": "ann", "seat": "B1"}`. The caller gets the seats as meta:
//! `["B1","B2"]`. The same booking again takes no more seats: a noop, which names those it has.
//!
//! Configuration: `{"rows": 2, "seats": 4}`. Query `free`: the free seats, as `["A1","A2"]`.

use atomic_store_guest::{
    Event, Key, KindInfo, NewEvent, Proposal, Validator, Verdict, accept_instead, reject, to_json,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The rules.
pub struct SeatRules;

/// How large the hall is.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hall {
    rows: u8,
    seats: u8,
}

/// Who has which seat.
#[derive(Clone, Serialize, Deserialize)]
pub struct Seats {
    hall: Hall,
    /// By seat, in the order of the hall.
    taken: BTreeMap<Seat, String>,
}

/// Row and number in it, both from 0.
type Seat = (u8, u8);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reserve {
    booking: String,
    count: usize,
    row: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct SeatTaken {
    booking: String,
    seat: String,
}

impl Default for Hall {
    fn default() -> Self {
        Hall { rows: 2, seats: 4 }
    }
}

fn letter(row: u8) -> String {
    char::from(b'A' + row).to_string()
}

/// As people write it: `B3`.
fn name((row, seat): Seat) -> String {
    format!("{}{}", letter(row), seat + 1)
}

impl Seats {
    fn all(&self) -> impl Iterator<Item = Seat> {
        let Hall { rows, seats } = self.hall;
        (0..rows).flat_map(move |row| (0..seats).map(move |seat| (row, seat)))
    }

    fn free(&self) -> impl Iterator<Item = Seat> {
        self.all().filter(|seat| !self.taken.contains_key(seat))
    }

    fn of(&self, booking: &str) -> Vec<String> {
        self.taken.iter().filter(|(_, by)| *by == booking).map(|(seat, _)| name(*seat)).collect()
    }

    fn reserve(&self, wanted: &Reserve) -> Verdict {
        let Reserve { booking, count, row } = wanted;
        if booking.is_empty() || booking.len() > 100 || *count == 0 {
            return Err(reject("malformed", "a booking has a name of at most 100 bytes and seats"));
        }
        let has = self.of(booking);
        if has.len() == *count {
            return Ok(accept_instead([]).reason(format!("{booking} has {}", has.join(", "))));
        }
        if !has.is_empty() {
            return Err(reject("other-booking", format!("{booking} has {}", has.join(", "))));
        }
        let in_row = |seat: &Seat| row.as_ref().is_none_or(|row| *row == letter(seat.0));
        let seats: Vec<_> = self.free().filter(in_row).take(*count).map(name).collect();
        if seats.len() < *count {
            let message = format!("{count} seats are asked for, {} are free", seats.len());
            return Err(reject("sold-out", message).data(to_json(&seats)?));
        }
        let meta = to_json(&seats)?;
        let mut events = Vec::with_capacity(seats.len());
        for seat in seats {
            let keys = vec![Key { kind: "seat".to_owned(), id: seat.clone() }];
            let taken = SeatTaken { booking: booking.clone(), seat };
            events.push(NewEvent { keys, ..NewEvent::json("seat-taken", &taken)? });
        }
        Ok(accept_instead(events).reason(format!("{count} seats for {booking}")).meta(meta))
    }
}

impl Validator for SeatRules {
    const NAME: &'static str = "seats";
    const VERSION: &'static str = "1.0.0";
    type State = Seats;
    type Config = Hall;

    fn kinds() -> Vec<KindInfo> {
        vec![KindInfo::new("reserve"), KindInfo::new("seat-taken")]
    }

    fn init(_scope: &str, hall: Hall) -> Result<Seats, String> {
        if hall.rows > 26 || hall.seats > 99 {
            return Err("a hall has at most 26 rows of 99 seats".to_owned());
        }
        Ok(Seats { hall, taken: BTreeMap::new() })
    }

    fn apply(state: &mut Seats, event: &Event) {
        let Ok(SeatTaken { booking, seat }) = event.json() else { return };
        let known = state.all().find(|known| name(*known) == seat);
        state.taken.extend(known.map(|seat| (seat, booking)));
    }

    fn validate(state: &Seats, proposal: &Proposal) -> Verdict {
        match proposal.kind.as_str() {
            "reserve" => state.reserve(&proposal.json()?),
            // Nobody but the rules takes a seat.
            _ => Err(proposal.unknown_kind()),
        }
    }

    fn query(state: &Seats, query: &str, _args: &[u8]) -> Result<Vec<u8>, String> {
        match query {
            "free" => Ok(to_json(&state.free().map(name).collect::<Vec<_>>())?),
            _ => Err(format!("the hall has no query {query:?}, but \"free\"")),
        }
    }
}

atomic_store_guest::export!(SeatRules);

#[cfg(test)]
mod tests {
    use super::*;
    use atomic_store_guest::testing::{Harness, proposal};

    fn wanted(booking: &str, count: usize, row: &str) -> String {
        format!(r#"{{"booking":"{booking}","count":{count},"row":"{row}"}}"#)
    }

    fn hall() -> Harness<SeatRules> {
        Harness::with_config(Hall::default())
    }

    #[test]
    fn a_command_becomes_the_seats_that_the_rules_chose() {
        let mut hall = hall();
        let reserve = proposal("reserve", wanted("ann", 2, "B"));
        let said = hall.propose_all([reserve]).accepted_because("2 seats for ann");
        assert_eq!(said[0].meta.as_deref(), Some(&br#"["B1","B2"]"#[..]));
        let stored: Vec<_> = hall.events().iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(stored, ["seat-taken", "seat-taken"]);
        assert_eq!(hall.events()[1].keys[0].id, "B2");
        assert_eq!(hall.query("free", ""), Ok(br#"["A1","A2","A3","A4","B3","B4"]"#.to_vec()));
    }

    #[test]
    fn the_same_booking_again_stores_nothing_and_another_one_is_refused() {
        let mut hall = hall();
        hall.propose_all([proposal("reserve", wanted("ann", 1, "A"))]).accepted();
        hall.propose_all([proposal("reserve", wanted("ann", 1, "A"))])
            .accepted_because("ann has A1");
        hall.propose_all([proposal("reserve", wanted("ann", 2, "A"))]).rejected("other-booking");
        assert_eq!(hall.events().len(), 1);
    }

    #[test]
    fn members_of_a_batch_see_each_other_and_what_is_sold_out_is_refused() {
        let mut hall = hall();
        let all = ["ann", "bob", "eve"].map(|who| proposal("reserve", wanted(who, 2, "A")));
        let no = hall.propose_all(all).rejected_at(2, "sold-out");
        assert_eq!(no.data.as_deref(), Some(&b"[]"[..]));
        assert!(hall.events().is_empty());
    }

    #[test]
    fn what_is_no_booking_is_refused() {
        let mut hall = hall();
        for bad in [&wanted("", 1, "A"), &wanted("ann", 0, "A"), r#"{"booking":"ann"}"#, "7"] {
            hall.propose_all([proposal("reserve", bad)]).rejected("malformed");
        }
        hall.propose_all([proposal("reserve", wanted("ann", 1, "Z"))]).rejected("sold-out");
        let forged = proposal("seat-taken", r#"{"booking":"eve","seat":"A1"}"#);
        hall.propose_all([forged]).rejected("unknown-kind");
        assert!(Harness::<SeatRules>::start("s", Some(br#"{"rows":27}"#)).is_err());
        assert!(hall.query("full", "").is_err());
    }
}
