package guest

import (
	"errors"
	"strings"
	"testing"
)

// sum stays below a limit: the least rules.
type sum struct{}

type total struct{ Limit, Sum uint64 }

func (sum) Info() Info { return Info{Name: "sum", Version: "1.0.0"} }

func (sum) Init(_ string, config []byte) (total, error) {
	state := total{Limit: 10}
	if config == nil {
		return state, nil
	}
	return state, FromJSON(config, &state)
}

func (sum) Apply(state *total, event *Event) {
	var step uint64
	if event.JSON(&step) == nil {
		state.Sum += step
	}
}

func (sum) Validate(state *total, proposal *Proposal) (Acceptance, error) {
	var step uint64
	if err := proposal.JSON(&step); err != nil {
		return Acceptance{}, err
	}
	if state.Sum+step > state.Limit {
		return Acceptance{}, Reject("full", "%d of %d", state.Sum, state.Limit)
	}
	if step == 0 {
		return Acceptance{Instead: []NewEvent{}}, nil
	}
	return Accept()
}

func (sum) Query(*total, string, []byte) ([]byte, error) { return nil, errors.New("no") }

func TestABatchIsJudgedOnACloneAllOrNothing(t *testing.T) {
	scope, err := NewScope(t, sum{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	six := Proposal{Kind: "add", Payload: []byte("6")}
	if index, no := scope.ProposeAll(six, six); index != 1 || no.Reasons[0].Code != "full" {
		t.Fatal(index, no)
	}
	for _, step := range []struct{ payload, code string }{
		{"6", ""}, {"0", ""}, {"6", "full"}, {"-6", "malformed"}, {"6 6", "malformed"}, {"\xff", "malformed"},
	} {
		no := scope.Propose("add", step.payload)
		if (no == nil) != (step.code == "") || (no != nil && no.Reasons[0].Code != step.code) {
			t.Fatal(step, no)
		}
	}
	if len(scope.Events) != 1 || HistoryHead() != 1 {
		t.Fatal("a command without effects, or a refused proposal, was stored")
	}
}

func TestEveryCutOfASnapshotAndEveryChangedByteIsDeclined(t *testing.T) {
	in, err := start[total](sum{}, "s", nil)
	if err != nil {
		t.Fatal(err)
	}
	bytes := in.snapshot()
	for at := range bytes {
		if _, err := restore[total](sum{}, "s", nil, bytes[:at]); err == nil {
			t.Fatal("cut at", at)
		}
		bytes[at] ^= 4
		if _, err := restore[total](sum{}, "s", nil, bytes); err == nil {
			t.Fatal("changed at", at)
		}
		bytes[at] ^= 4
	}
	if _, err := restore[total](sum{}, "s", nil, bytes); err != nil {
		t.Fatal(err)
	}
	if _, err := restore[total](sum{}, "s", []byte{}, bytes); err == nil {
		t.Fatal("an empty configuration is not none")
	}
}

func TestJSONIsStrict(t *testing.T) {
	var fields struct {
		Name *string `json:"name"`
	}
	for _, bad := range []string{
		`{"name":"\ud800"}`, `{"name":"\udc00"}`, `{"name":"\ud800x"}`, `{"name":"a","name":"b"}`, `[]`, `null`,
		`{"name":"a"} {}`, "{\"name\":\"\xff\"}", `{"x":` + strings.Repeat("[", 128) + strings.Repeat("]", 128) + `}`,
		strings.Repeat("[", 1_000_000), `"` + strings.Repeat(`\`, 9),
	} {
		if FromJSON([]byte(bad), &fields) == nil {
			t.Errorf("taken: %.40s", bad)
		}
	}
	if err := FromJSON([]byte(`{"NAME":"a","x":[[{}]],"\u006eame":"\ud83d\ude00"}`), &fields); err != nil || *fields.Name != "😀" {
		t.Error(err, fields)
	}
	written, err := ToJSON("<&> \u2028 \\u2028 \b\x7f")
	if err != nil || string(written) != "\"<&> \u2028 \\\\u2028 \\b\x7f\"" {
		t.Error(err, string(written))
	}
}

func TestSentencesAreCutBetweenCharacters(t *testing.T) {
	if text := shorten("x" + strings.Repeat("ä", 700)); len(text) != 1023 || !strings.HasSuffix(text, "ä ...") {
		t.Error(len(text))
	}
}
