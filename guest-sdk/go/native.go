//go:build !wasm

package guest

import (
	"bytes"
	"reflect"
	"testing"
)

// Export does nothing here; built for WebAssembly it makes the rules what the store loads.
func Export[S any](Rules[S]) {}

// past is what the rules see of the history in a test.
var past []Event

func historyHead() uint64 { return uint64(len(past)) }

func historyRead(after uint64, limit uint32) []Event {
	if after >= uint64(len(past)) {
		return nil
	}
	rest := past[after:]
	return rest[:min(uint64(limit), uint64(len(rest)))]
}

func logLine(int, string) {}

// Scope is a scope in memory, judged by the rules under test. Every step goes through two instances, one
// that only folds and one that is restored from its snapshot. They must answer the same, twice, and
// answering must change neither: each test of the rules also tests that they are deterministic, and
// their snapshots.
type Scope[S any] struct {
	t      *testing.T
	name   string
	config []byte
	in     *instance[S]
	Events []Event
	// HostMs is the store's time of what follows.
	HostMs uint64
}

// NewScope is an empty scope; the error is why the rules decline.
func NewScope[S any](t *testing.T, rules Rules[S], config []byte) (*Scope[S], error) {
	in, err := start(rules, "test/1", config)
	return &Scope[S]{t: t, name: "test/1", config: config, in: in}, err
}

// Propose proposes one event, and folds what it becomes. The rejection is nil if it is accepted.
func (s *Scope[S]) Propose(kind, payload string) *Rejection {
	s.t.Helper()
	_, no := s.ProposeAll(Proposal{Kind: kind, Payload: []byte(payload)})
	return no
}

// ProposeAll proposes several events in one append; the index is that of the one that is rejected.
func (s *Scope[S]) ProposeAll(proposals ...Proposal) (int, *Rejection) {
	s.t.Helper()
	for i := range proposals {
		proposals[i].HostMs = s.HostMs
		if proposals[i].ContentType == "" {
			proposals[i].ContentType = "application/json"
		}
	}
	past = s.Events
	before := s.in.snapshot()
	all, index, no := s.in.validate(proposals)
	for _, in := range []*instance[S]{s.in, s.restored()} {
		again, at, nay := in.validate(proposals)
		if !reflect.DeepEqual(all, again) || index != at || !reflect.DeepEqual(no, nay) {
			s.t.Fatalf("the second time, or restored, it answers otherwise: %v, %v", no, nay)
		}
	}
	if !bytes.Equal(before, s.in.snapshot()) {
		s.t.Fatal("validate changed the state")
	}
	for i := range all {
		s.fold(admitted(&proposals[i], &all[i], uint64(len(s.Events))))
	}
	return index, no
}

// Given folds an event that is there already.
func (s *Scope[S]) Given(kind, payload string) {
	s.t.Helper()
	s.fold([]Event{{Seq: uint64(len(s.Events)) + 1, Kind: kind, ContentType: "application/json",
		Payload: []byte(payload), HostMs: s.HostMs}})
}

// Query asks both instances.
func (s *Scope[S]) Query(name string, args string) (string, error) {
	s.t.Helper()
	found, err := s.in.query(name, []byte(args))
	again, _ := s.restored().query(name, []byte(args))
	if !bytes.Equal(found, again) {
		s.t.Fatalf("restored, it answers otherwise: %s, %s", found, again)
	}
	return string(found), err
}

func (s *Scope[S]) fold(events []Event) {
	s.t.Helper()
	restored := s.restored()
	s.in.apply(events)
	restored.apply(events)
	s.Events = append(s.Events, events...)
	if !bytes.Equal(s.in.snapshot(), restored.snapshot()) {
		s.t.Fatal("a restored state folds otherwise")
	}
}

func (s *Scope[S]) restored() *instance[S] {
	s.t.Helper()
	if s.in.rules.Info().NoSnapshots {
		return s.in
	}
	in, err := restore(s.in.rules, s.name, s.config, s.in.snapshot())
	if err != nil {
		s.t.Fatal(err)
	}
	return in
}
