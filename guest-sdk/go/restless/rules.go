// Rules as nobody should write them: they read the clock and draw random numbers. Built for tests of the store.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	guest "atomic-store.example/guest"
)

type restless struct{}

type state struct{ Seen string }

func look() string {
	random := make([]byte, 8)
	if _, err := rand.Read(random); err != nil {
		panic(err)
	}
	return fmt.Sprintf("%d %s", time.Now().UnixMilli(), hex.EncodeToString(random))
}

func (restless) Info() guest.Info { return guest.Info{Name: "restless", Version: "1.0.0"} }

func (restless) Init(string, []byte) (state, error) { return state{}, nil }

func (restless) Apply(s *state, _ *guest.Event) { s.Seen = look() }

func (restless) Validate(*state, *guest.Proposal) (guest.Acceptance, error) {
	return guest.Acceptance{Reason: look()}, nil
}

func (restless) Query(*state, string, []byte) ([]byte, error) { return json.Marshal(look()) }

func init() { guest.Export(restless{}) }

func main() {}
