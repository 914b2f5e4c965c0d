package main

import (
	"testing"

	guest "atomic-store.example/guest"
)

func TestASeatIsTakenOnce(t *testing.T) {
	flight, err := guest.NewScope(t, Seats{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ code, kind, payload string }{
		{"", "reserve", `{"seat":"4A"}`},
		{"taken", "reserve", `{"seat":"4A"}`},
		{"", "reserve", `{"seat":"4B"}`},
		{"malformed", "reserve", `{"seat":4}`},
		{"malformed", "reserve", `{"Seat":"4C"}`},
		{"unknown-kind", "land", `{}`},
	} {
		no := flight.Propose(step.kind, step.payload)
		if code := codeOf(no); code != step.code {
			t.Errorf("%s %s: %q, wanted %q", step.kind, step.payload, code, step.code)
		}
	}
}

func codeOf(no *guest.Rejection) string {
	if no == nil {
		return ""
	}
	return no.Reasons[0].Code
}
