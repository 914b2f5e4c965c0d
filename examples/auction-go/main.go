// An English auction. examples/auction says what its rules are; these are the same, in Go.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	guest "atomic-store.example/guest"
)

func init() { guest.Export(Auction{}) }

func main() {}

// Cents is an amount of money, as people and spreadsheets write it: 95, 95.5 or "95.50". One that is no
// whole number of cents is an error, never rounded.
type Cents uint64

const centsMax = 999_999_999_999

func (c *Cents) UnmarshalJSON(data []byte) error {
	var ok bool
	if data[0] == '"' {
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
		*c, ok = parse(text)
	} else if number, err := strconv.ParseFloat(string(data), 64); err == nil {
		*c, ok = fromNumber(number)
	}
	if !ok {
		return errors.New("no amount from 0 to 9999999999.99 with at most two decimals")
	}
	return nil
}

// parse reads up to ten digits, and up to two more behind a point.
func parse(text string) (Cents, bool) {
	whole, part, pointed := strings.Cut(text, ".")
	if !pointed {
		part = "0"
	}
	units, ok := digits(whole, 10)
	cents, right := digits(part, 2)
	if len(part) == 1 {
		cents *= 10
	}
	return units*100 + cents, ok && right
}

func digits(text string, most int) (Cents, bool) {
	if len(text) < 1 || len(text) > most {
		return 0, false
	}
	var sum Cents
	for _, b := range []byte(text) {
		if b < '0' || b > '9' {
			return 0, false
		}
		sum = sum*10 + Cents(b-'0')
	}
	return sum, true
}

func fromNumber(number float64) (Cents, bool) {
	cents := math.Round(number * 100)
	// Division rounds correctly, so exactly the numbers written with two decimals come back.
	if cents/100 != number || cents < 0 || cents > centsMax {
		return 0, false
	}
	return Cents(cents), true
}

func (c Cents) String() string { return fmt.Sprintf("%d.%02d", c/100, c%100) }

// MarshalJSON writes "95.50".
func (c Cents) MarshalJSON() ([]byte, error) { return []byte(`"` + c.String() + `"`), nil }

// Name is who bids: text, or a whole number that every language reads exactly.
type Name string

func (n *Name) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		return json.Unmarshal(data, (*string)(n))
	}
	number, err := strconv.ParseFloat(string(data), 64)
	if err != nil || number != math.Trunc(number) || number < 0 || number > 1<<53-1 {
		return errors.New("no name")
	}
	*n = Name(strconv.FormatUint(uint64(number), 10))
	return nil
}

// Highest is the highest bid.
type Highest struct {
	Amount Cents  `json:"amount"`
	Bidder string `json:"bidder"`
	Seq    uint64 `json:"seq"`
}

// State is what the rules need to know of the past.
type State struct {
	Increment Cents
	Opening   *Cents
	Highest   *Highest
	Closed    uint64
}

// The fields that must be there are pointers: nil means that they are not.
type open struct {
	Opening *Cents `json:"opening"`
}

type bid struct {
	Bidder  *Name  `json:"bidder"`
	Amount  *Cents `json:"amount"`
	Opening *Cents `json:"opening"`
}

type outbid struct {
	Bidder *Name  `json:"bidder"`
	Most   *Cents `json:"most"`
}

// What a command stores: the fields in this order.
type placed struct {
	Bidder Name  `json:"bidder"`
	Amount Cents `json:"amount"`
}

func readOpen(payload []byte) (o open, ok bool) {
	err := guest.FromJSON(payload, &o)
	return o, err == nil && o.Opening != nil
}

func readBid(payload []byte) (b bid, ok bool) {
	err := guest.FromJSON(payload, &b)
	return b, err == nil && b.Bidder != nil && b.Amount != nil
}

func readOutbid(payload []byte) (o outbid, ok bool) {
	err := guest.FromJSON(payload, &o)
	return o, err == nil && o.Bidder != nil && o.Most != nil
}

// Auction are the rules.
type Auction struct{}

const amount = `{"type":["number","string"]}`

// Info is name, version and kinds.
func (Auction) Info() guest.Info {
	return guest.Info{Name: "auction", Version: "1.0.0", Kinds: []guest.KindInfo{
		{Name: "open", Schema: `{"type":"object","required":["opening"],"properties":{"opening":` + amount + `}}`},
		{Name: "bid", Schema: `{"type":"object","required":["bidder","amount"],"properties":{"bidder":{"type":["string","number"]},"amount":` + amount + `,"opening":` + amount + `}}`},
		{Name: "outbid", Schema: `{"type":"object","required":["bidder","most"],"properties":{"bidder":{"type":["string","number"]},"most":` + amount + `}}`},
		{Name: "close"},
	}}
}

// Init takes {"increment": "0.50"}.
func (Auction) Init(_ string, config []byte) (State, error) {
	state := State{Increment: 1}
	if config == nil {
		return state, nil
	}
	var fields map[string]Cents
	if err := guest.FromJSON(config, &fields); err != nil || fields == nil {
		return state, fmt.Errorf("the configuration of auction is wrong: %w", errors.Join(err))
	}
	for name, value := range fields {
		if name != "increment" {
			return state, fmt.Errorf("the configuration of auction is wrong: there is no %q", name)
		}
		state.Increment = max(1, value)
	}
	return state, nil
}

// Apply folds an event.
func (Auction) Apply(state *State, event *guest.Event) {
	switch event.Kind {
	case "open":
		if o, ok := readOpen(event.Payload); ok && state.Opening == nil {
			state.Opening = o.Opening
		}
	case "bid":
		if b, ok := readBid(event.Payload); ok {
			if state.Opening == nil {
				state.Opening = b.Opening
			}
			state.Highest = &Highest{*b.Amount, string(*b.Bidder), event.Seq}
		}
	case "close":
		state.Closed = event.Seq
	}
}

// Validate judges a proposal.
func (Auction) Validate(state *State, proposal *guest.Proposal) (guest.Acceptance, error) {
	if state.Closed != 0 {
		return guest.Acceptance{}, guest.Reject("closed", "the auction is closed").WithSeqs(state.Closed)
	}
	switch proposal.Kind {
	case "open":
		if _, ok := readOpen(proposal.Payload); !ok {
			return malformed(proposal, `{"opening": "95.00"}`)
		}
		if state.Opening != nil || state.Highest != nil {
			return guest.Acceptance{}, guest.Reject("already-open", "the opening bid is already fixed")
		}
		return guest.Accept()
	case "bid":
		b, ok := readBid(proposal.Payload)
		if !ok {
			return malformed(proposal, `{"bidder": "ann", "amount": "95.50"}`)
		}
		if state.Opening != nil {
			b.Opening = state.Opening
		}
		return check(state, *b.Amount, b.Opening)
	case "outbid":
		command, ok := readOutbid(proposal.Payload)
		if !ok {
			return malformed(proposal, `{"bidder": "ann", "most": "120.00"}`)
		}
		return judgeOutbid(state, command)
	case "close":
		if state.Highest == nil {
			return guest.Acceptance{Reason: "nobody bid"}, nil
		}
		reason := fmt.Sprintf("sold to %s for %v", state.Highest.Bidder, state.Highest.Amount)
		return guest.Acceptance{Reason: reason}, nil
	}
	return guest.Acceptance{}, proposal.UnknownKind()
}

// Query answers `highest`.
func (Auction) Query(state *State, name string, _ []byte) ([]byte, error) {
	if name != "highest" {
		return nil, fmt.Errorf(`the auction has no query "%s", but "highest"`, name)
	}
	return guest.ToJSON(state.Highest)
}

// judgeOutbid bids the least that is enough, if that is not more than the most.
func judgeOutbid(state *State, command outbid) (guest.Acceptance, error) {
	if _, err := check(state, *command.Most, state.Opening); err != nil {
		return guest.Acceptance{}, err
	}
	var least Cents
	if state.Highest != nil {
		least = state.Highest.Amount + state.Increment
	}
	if state.Opening != nil {
		least = max(least, *state.Opening)
	}
	event, err := guest.JSONEvent("bid", placed{*command.Bidder, least})
	return guest.Acceptance{Instead: []guest.NewEvent{event}, Meta: event.Payload}, err
}

// check refuses an amount that is not enough.
func check(state *State, amount Cents, opening *Cents) (guest.Acceptance, error) {
	if opening != nil && amount < *opening {
		return guest.Acceptance{}, guest.Reject("below-opening", "the opening bid is %v", *opening)
	}
	if state.Highest == nil || amount >= state.Highest.Amount+state.Increment {
		return guest.Accept()
	}
	least := state.Highest.Amount + state.Increment
	no := guest.Reject("too-low", "the highest bid is %v; bid at least %v", state.Highest.Amount, least)
	data := []byte(`{"least":"` + least.String() + `"}`)
	return guest.Acceptance{}, no.WithSeqs(state.Highest.Seq).WithData(data)
}

func malformed(proposal *guest.Proposal, example string) (guest.Acceptance, error) {
	return guest.Acceptance{}, guest.Reject("malformed",
		`the payload of "%s" is malformed; it is like %s, with amounts from 0 to 9999999999.99 and at most two decimals`,
		proposal.Kind, example)
}
