// Package guest makes validators for Atomic Store in Go, with the standard library and nothing else.
//
// A validator is a value with a few methods; [Export] makes it what the store loads, [NewScope] tests it
// natively. README.md shows a whole one.
//
// The rules are deterministic: what they answer depends on the state and the proposal, on nothing else.
// In the sandbox the clock stands still and randomness is one value; time is Proposal.HostMs. Do not let
// a verdict depend on the order in which a map is walked.
package guest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"strings"
	"unicode/utf8"
)

// Key is what an event is about.
type Key struct{ Kind, ID string }

// Pair travels with an event.
type Pair struct{ Name, Value string }

// Event is an accepted event of this scope.
type Event struct {
	Seq         uint64
	Kind        string
	ContentType string
	Payload     []byte
	Keys        []Key
	Metadata    []Pair
	// CallerMs is nil if the caller did not say.
	CallerMs *uint64
	HostMs   uint64
}

// Proposal is an event that a client wants to append. It is untrusted.
type Proposal struct {
	Kind        string
	ContentType string
	Payload     []byte
	Keys        []Key
	Metadata    []Pair
	CallerMs    *uint64
	HostMs      uint64
}

// NewEvent is stored in place of a proposal.
type NewEvent struct {
	Kind        string
	ContentType string
	Payload     []byte
	Keys        []Key
	Metadata    []Pair
}

// KindInfo is a kind of event, and the JSON schema of its payload, if there is one.
type KindInfo struct{ Name, Schema string }

// Info is what a validator says about itself.
type Info struct {
	// Name is 1 to 64 lower-case letters, digits and -.
	Name string
	// Version is semantic.
	Version string
	Kinds   []KindInfo
	// NoSnapshots makes the store fold the log instead of keeping snapshots.
	NoSnapshots bool
}

// Rules are the rules of a log. S is what they need to know of a scope's events; it is kept as JSON, so
// its fields are exported.
type Rules[S any] interface {
	Info() Info
	// Init is the state of a scope without events. The configuration is nil if there is none.
	Init(scope string, config []byte) (S, error)
	// Apply folds an accepted event. It cannot say no: ignore what you do not understand.
	Apply(state *S, event *Event)
	// Validate judges a proposal; earlier members of its batch are in the state. It must not change it.
	Validate(state *S, proposal *Proposal) (Acceptance, error)
	// Query answers a question about the state.
	Query(state *S, name string, args []byte) ([]byte, error)
}

// Acceptance is yes to one proposal.
type Acceptance struct {
	// Instead of the proposal, these are stored; if it is nil, the proposal is. An empty one stores
	// nothing.
	Instead []NewEvent
	// Reason is a sentence for the caller.
	Reason string
	// Meta is data for the caller, not stored; nil for none.
	Meta []byte
}

// Accept says yes.
func Accept() (Acceptance, error) { return Acceptance{}, nil }

// Reason is one reason of a rejection.
type Reason struct {
	Code, Message string
	Data          []byte
	Seqs          []uint64
}

// Rejection is no to a proposal. It is an error, so that a method returns it as one.
type Rejection struct {
	Reasons []Reason
	Meta    []byte
}

func (no *Rejection) Error() string {
	return no.Reasons[0].Code + ": " + no.Reasons[0].Message
}

// Reject says no, with a short word for programs and a sentence for people.
func Reject(code, format string, args ...any) *Rejection {
	return &Rejection{Reasons: []Reason{{Code: code, Message: shorten(fmt.Sprintf(format, args...))}}}
}

// WithData adds details for programs to the last reason.
func (no *Rejection) WithData(data []byte) *Rejection {
	no.Reasons[len(no.Reasons)-1].Data = data
	return no
}

// WithSeqs names the earlier events that caused the last reason.
func (no *Rejection) WithSeqs(seqs ...uint64) *Rejection {
	no.Reasons[len(no.Reasons)-1].Seqs = seqs
	return no
}

// And adds the reasons of another rejection.
func (no *Rejection) And(other *Rejection) *Rejection {
	no.Reasons = append(no.Reasons, other.Reasons...)
	return no
}

// UnknownKind is a rejection with the code unknown-kind.
func (p *Proposal) UnknownKind() *Rejection {
	return Reject("unknown-kind", `these rules know no event of kind "%s"`, p.Kind)
}

// JSON reads the payload, whole or not at all. The error is a rejection with the code malformed.
func (p *Proposal) JSON(to any) error {
	if err := FromJSON(p.Payload, to); err != nil {
		return Reject("malformed", `the payload of "%s" is malformed: %v`, p.Kind, err)
	}
	return nil
}

// JSON reads the payload, whole or not at all.
func (e *Event) JSON(to any) error { return FromJSON(e.Payload, to) }

// FromJSON is encoding/json made strict: names of fields are taken as they are written, texts must be
// Unicode, and nothing may follow.
func FromJSON(data []byte, to any) error {
	if !utf8.Valid(data) {
		return errors.New("it is not UTF-8")
	}
	names := exactNames(to)
	clean, err := strict(data, names)
	if err != nil {
		return err
	}
	return json.Unmarshal(clean, to)
}

// ToJSON writes a value without escaping for HTML and without an end of line.
func ToJSON(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return plain(bytes.TrimSuffix(out.Bytes(), []byte("\n"))), nil
}

// JSONEvent is an event with a JSON payload.
func JSONEvent(kind string, value any) (NewEvent, error) {
	payload, err := ToJSON(value)
	return NewEvent{Kind: kind, ContentType: "application/json", Payload: payload}, err
}

const messageBytesMax = 1024

// shorten cuts between characters: what is said often quotes what came in.
func shorten(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= messageBytesMax {
		return text
	}
	end := messageBytesMax - len(" ...")
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + " ..."
}

// instance is one scope's rules at work: the store and the tests take this path and no other.
type instance[S any] struct {
	rules  Rules[S]
	state  S
	head   uint64
	origin uint64
}

func start[S any](rules Rules[S], scope string, config []byte) (*instance[S], error) {
	state, err := rules.Init(scope, config)
	if err != nil {
		return nil, err
	}
	return &instance[S]{rules: rules, state: state, origin: originOf(rules.Info(), scope, config)}, nil
}

const headerBytes = 25

var errSnapshot = errors.New("the snapshot is of something else, or damaged")

func restore[S any](rules Rules[S], scope string, config, snapshot []byte) (*instance[S], error) {
	in := &instance[S]{rules: rules, origin: originOf(rules.Info(), scope, config)}
	if len(snapshot) < headerBytes || snapshot[0] != 1 {
		return nil, errSnapshot
	}
	in.head = binary.LittleEndian.Uint64(snapshot[9:])
	state := snapshot[headerBytes:]
	if binary.LittleEndian.Uint64(snapshot[1:]) != in.origin ||
		binary.LittleEndian.Uint64(snapshot[17:]) != checksum(snapshot[:17], state) {
		return nil, errSnapshot
	}
	decoder := json.NewDecoder(bytes.NewReader(state))
	decoder.DisallowUnknownFields()
	if decoder.Decode(&in.state) != nil {
		return nil, errSnapshot
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errSnapshot
	}
	return in, nil
}

func originOf(info Info, scope string, config []byte) uint64 {
	hash := fnv.New64a()
	for _, part := range []string{info.Name, info.Version, scope, string(config)} {
		hash.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(part))))
		hash.Write([]byte(part))
	}
	if config != nil {
		hash.Write([]byte{1})
	}
	return hash.Sum64()
}

// checksum is not a defence: the store guards its own files.
func checksum(header, state []byte) uint64 {
	hash := fnv.New64a()
	hash.Write(header)
	hash.Write(state)
	return hash.Sum64()
}

func (in *instance[S]) apply(events []Event) {
	for i := range events {
		in.rules.Apply(&in.state, &events[i])
		in.head = events[i].Seq
	}
}

// validate judges one append, and returns the acceptances, or the first rejection and its index.
func (in *instance[S]) validate(proposals []Proposal) ([]Acceptance, int, *Rejection) {
	acceptances := make([]Acceptance, 0, len(proposals))
	state, head := &in.state, in.head
	for i := range proposals {
		yes, err := in.rules.Validate(state, &proposals[i])
		if err != nil {
			var no *Rejection
			if !errors.As(err, &no) {
				no = Reject("error", "%v", err)
			}
			return nil, i, no
		}
		acceptances = append(acceptances, yes)
		if i+1 == len(proposals) {
			break
		}
		// The state is cloned only where a later proposal needs to see this one.
		if state == &in.state {
			state = in.clone()
		}
		for _, event := range admitted(&proposals[i], &yes, head) {
			head = event.Seq
			in.rules.Apply(state, &event)
		}
	}
	return acceptances, 0, nil
}

func (in *instance[S]) encode() []byte {
	state, err := json.Marshal(&in.state)
	if err != nil {
		panic("a state must have a JSON form: " + err.Error())
	}
	return state
}

func (in *instance[S]) clone() *S {
	var state S
	if err := json.Unmarshal(in.encode(), &state); err != nil {
		panic("a state must read back from its own JSON: " + err.Error())
	}
	return &state
}

func (in *instance[S]) snapshot() []byte {
	if in.rules.Info().NoSnapshots {
		return nil
	}
	state := in.encode()
	out := []byte{1}
	out = binary.LittleEndian.AppendUint64(out, in.origin)
	out = binary.LittleEndian.AppendUint64(out, in.head)
	out = binary.LittleEndian.AppendUint64(out, checksum(out[:17], state))
	return append(out, state...)
}

func (in *instance[S]) query(name string, args []byte) ([]byte, error) {
	return in.rules.Query(&in.state, name, args)
}

// admitted are the events that an accepted proposal becomes, numbered after head.
func admitted(p *Proposal, yes *Acceptance, head uint64) []Event {
	stored := yes.Instead
	if stored == nil {
		stored = []NewEvent{{p.Kind, p.ContentType, p.Payload, p.Keys, p.Metadata}}
	}
	events := make([]Event, len(stored))
	for i, e := range stored {
		events[i] = Event{head + 1 + uint64(i), e.Kind, e.ContentType, e.Payload, e.Keys, e.Metadata,
			p.CallerMs, p.HostMs}
	}
	return events
}
