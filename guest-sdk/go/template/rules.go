// Seats of a flight: each is taken once.
package main

import (
	"errors"

	guest "atomic-store.example/guest"
)

func init() { guest.Export(Seats{}) }

func main() {}

// State says which event took which seat. It is kept as JSON, so its fields are exported.
type State struct{ Taken map[string]uint64 }

type reservation struct {
	// A pointer: nil means that it is not there.
	Seat *string `json:"seat"`
}

// Seats are the rules.
type Seats struct{}

// For people and tools; `check` takes the examples to try the rules out.
const reserve = `{"type":"object","required":["seat"],"properties":{"seat":{"type":"string","examples":["1A","4A","4B","12C"]}}}`

// Info is name, version and kinds.
func (Seats) Info() guest.Info {
	return guest.Info{Name: "seats", Version: "1.0.0", Kinds: []guest.KindInfo{{Name: "reserve", Schema: reserve}}}
}

// Init takes no configuration.
func (Seats) Init(_ string, config []byte) (State, error) {
	if config != nil {
		return State{}, errors.New("these rules take no configuration")
	}
	return State{Taken: map[string]uint64{}}, nil
}

// Apply folds an event.
func (Seats) Apply(state *State, event *guest.Event) {
	var r reservation
	if event.Kind == "reserve" && event.JSON(&r) == nil && r.Seat != nil {
		state.Taken[*r.Seat] = event.Seq
	}
}

// Validate judges a proposal.
func (Seats) Validate(state *State, proposal *guest.Proposal) (guest.Acceptance, error) {
	if proposal.Kind != "reserve" {
		return guest.Acceptance{}, proposal.UnknownKind()
	}
	var r reservation
	if err := proposal.JSON(&r); err != nil {
		return guest.Acceptance{}, err
	}
	if r.Seat == nil {
		return guest.Acceptance{}, guest.Reject("malformed", "there is no seat")
	}
	if seq, taken := state.Taken[*r.Seat]; taken {
		return guest.Acceptance{}, guest.Reject("taken", "seat %s is taken", *r.Seat).WithSeqs(seq)
	}
	return guest.Accept()
}

// Query answers nothing.
func (Seats) Query(*State, string, []byte) ([]byte, error) {
	return nil, errors.New("seats answer no queries")
}
