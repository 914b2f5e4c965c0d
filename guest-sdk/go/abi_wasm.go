package guest

// The border to the store: the canonical ABI of wit/validator.wit, by hand. The structs have the layout
// of the contract's records.

import (
	"fmt"
	"unsafe"
)

//go:wasmimport atomic-store:validator/history@1.0.0 head
func importHead() uint64

//go:wasmimport atomic-store:validator/history@1.0.0 read
func importRead(after uint64, limit uint32, page unsafe.Pointer)

//go:wasmimport atomic-store:validator/log@1.0.0 line
func importLine(level int32, at unsafe.Pointer, len uint32)

type list struct{ at, len uint32 }

type maybe struct {
	some  uint32
	value list
}

type maybeMs struct {
	some  uint64
	value uint64
}

type key struct{ kind, id list }

type eventIn struct {
	seq      uint64
	proposal proposalIn
}

type proposalIn struct {
	kind, contentType, payload, keys, metadata list
	callerMs                                   maybeMs
	hostMs                                     uint64
}

type newEventOut struct{ kind, contentType, payload, keys, metadata list }

type acceptanceOut struct {
	events       maybe
	reason, meta maybe
	outputs      list
}

type reasonOut struct {
	code, message list
	data          maybe
	seqs          list
}

type judgement struct {
	isRefusal uint32
	// The acceptances, or index and reasons: a list is two words.
	first, second, third uint32
	meta                 maybe
}

type answer struct {
	isError uint32
	value   list
}

type kindOut struct {
	name   list
	schema maybe
}

type description struct{ name, version, kinds list }

// Fails to compile if a layout is not the contract's.
var _ = [1]int{}[unsafe.Sizeof(eventIn{})-72]
var _ = [1]int{}[unsafe.Sizeof(proposalIn{})-64]
var _ = [1]int{}[unsafe.Sizeof(newEventOut{})-40]
var _ = [1]int{}[unsafe.Sizeof(acceptanceOut{})-44]
var _ = [1]int{}[unsafe.Sizeof(reasonOut{})-36]
var _ = [1]int{}[unsafe.Sizeof(judgement{})-28]

// held keeps what the store knows the addresses of from being collected, until the call ends. The
// collector does not move what it keeps.
var held []any

func endCall() {
	clear(held)
	held = held[:0]
}

// The store asks for memory piece by piece. uint64s, so that it is aligned for anything.
//
//go:wasmexport cabi_realloc
func cabiRealloc(old unsafe.Pointer, oldLen, align, size uint32) unsafe.Pointer {
	if size == 0 {
		size = 1
	}
	block := make([]uint64, (uint64(size)+7)/8)
	held = append(held, block)
	at := unsafe.Pointer(&block[0])
	if old != nil {
		copy(unsafe.Slice((*byte)(at), size), unsafe.Slice((*byte)(old), oldLen))
	}
	return at
}

func pointer(at uint32) unsafe.Pointer { return unsafe.Pointer(uintptr(at)) }

func slice[T any](from list) []T {
	if from.len == 0 {
		return nil
	}
	return unsafe.Slice((*T)(pointer(from.at)), from.len)
}

// Texts and payloads are copied: rules may keep them beyond the call.
func text(from list) string    { return string(slice[byte](from)) }
func bytesOf(from list) []byte { return append([]byte{}, slice[byte](from)...) }

func out[T any](items []T) list {
	if len(items) == 0 {
		return list{8, 0} // No items are there; the address is only aligned.
	}
	held = append(held, items)
	return list{uint32(uintptr(unsafe.Pointer(&items[0]))), uint32(len(items))}
}

func outText(text string) list { return out([]byte(text)) }

func outMaybe(data []byte) maybe {
	if data == nil {
		return maybe{}
	}
	return maybe{1, out(data)}
}

func keysIn(from list) []Key {
	var keys []Key
	for _, k := range slice[key](from) {
		keys = append(keys, Key{text(k.kind), text(k.id)})
	}
	return keys
}

func pairsIn(from list) []Pair {
	var pairs []Pair
	for _, p := range slice[key](from) {
		pairs = append(pairs, Pair{text(p.kind), text(p.id)})
	}
	return pairs
}

func proposalsIn(from []proposalIn) []Proposal {
	proposals := make([]Proposal, len(from))
	for i, p := range from {
		var callerMs *uint64
		if byte(p.callerMs.some) != 0 {
			callerMs = &p.callerMs.value
		}
		proposals[i] = Proposal{text(p.kind), text(p.contentType), bytesOf(p.payload), keysIn(p.keys),
			pairsIn(p.metadata), callerMs, p.hostMs}
	}
	return proposals
}

func eventsIn(from []eventIn) []Event {
	events := make([]Event, len(from))
	for i, e := range from {
		p := proposalsIn([]proposalIn{e.proposal})[0]
		events[i] = Event{e.seq, p.Kind, p.ContentType, p.Payload, p.Keys, p.Metadata, p.CallerMs, p.HostMs}
	}
	return events
}

func historyHead() uint64 { return importHead() }

func historyRead(after uint64, limit uint32) []Event {
	var page list
	importRead(after, limit, unsafe.Pointer(&page))
	return eventsIn(slice[eventIn](page))
}

func logLine(level int, message string) {
	data := append([]byte(message), 0)
	importLine(int32(level), unsafe.Pointer(&data[0]), uint32(len(message)))
}

// exported is what the store calls, without the type of the state.
type exported struct {
	info    Info
	init    func(scope string, config []byte) error
	restore func(scope string, config, snapshot []byte) error
	running interface {
		apply([]Event)
		validate([]Proposal) ([]Acceptance, int, *Rejection)
		snapshot() []byte
		query(string, []byte) ([]byte, error)
	}
}

var component exported

// Export makes the rules what the store loads. Call it once, in an init function of package main.
func Export[S any](rules Rules[S]) {
	component.info = rules.Info()
	started := func(in *instance[S], err error) error {
		component.running = nil
		if err == nil {
			component.running = in
		}
		return err
	}
	component.init = func(scope string, config []byte) error {
		return started(start(rules, scope, config))
	}
	component.restore = func(scope string, config, snapshot []byte) error {
		return started(restore(rules, scope, config, snapshot))
	}
}

// reported sends the text of a panic to the log, because the trap that follows carries none.
func reported() {
	if trouble := recover(); trouble != nil {
		logLine(int(Error), fmt.Sprint(trouble))
		panic(trouble)
	}
}

func give[T any](value *T) unsafe.Pointer {
	held = append(held, value)
	return unsafe.Pointer(value)
}

//go:wasmexport atomic-store:validator/rules@1.0.0#describe
func exportDescribe() unsafe.Pointer {
	defer reported()
	kinds := make([]kindOut, len(component.info.Kinds))
	for i, kind := range component.info.Kinds {
		kinds[i].name = outText(kind.Name)
		if kind.Schema != "" {
			kinds[i].schema = outMaybe([]byte(kind.Schema))
		}
	}
	return give(&description{outText(component.info.Name), outText(component.info.Version), out(kinds)})
}

func configIn(configured, at, len uint32) []byte {
	if configured == 0 {
		return nil
	}
	return bytesOf(list{at, len})
}

func result(data []byte, err error) unsafe.Pointer {
	if err != nil {
		return give(&answer{1, outText(shorten(err.Error()))})
	}
	return give(&answer{0, out(data)})
}

//go:wasmexport atomic-store:validator/rules@1.0.0#init
func exportInit(scope, scopeLen, configured, config, configLen uint32) unsafe.Pointer {
	defer reported()
	err := component.init(text(list{scope, scopeLen}), configIn(configured, config, configLen))
	return result(nil, err)
}

//go:wasmexport atomic-store:validator/rules@1.0.0#restore
func exportRestore(scope, scopeLen, configured, config, configLen, from, fromLen uint32) unsafe.Pointer {
	defer reported()
	err := component.restore(text(list{scope, scopeLen}), configIn(configured, config, configLen),
		bytesOf(list{from, fromLen}))
	return result(nil, err)
}

//go:wasmexport atomic-store:validator/rules@1.0.0#apply
func exportApply(events, len uint32) {
	defer reported()
	component.running.apply(eventsIn(slice[eventIn](list{events, len})))
	endCall()
}

//go:wasmexport atomic-store:validator/rules@1.0.0#validate
func exportValidate(proposals, len uint32) unsafe.Pointer {
	defer reported()
	all, index, no := component.running.validate(proposalsIn(slice[proposalIn](list{proposals, len})))
	if no != nil {
		return give(refuse(index, no))
	}
	acceptances := make([]acceptanceOut, 0, len)
	for _, yes := range all {
		acceptances = append(acceptances, accepted(yes))
	}
	given := out(acceptances)
	return give(&judgement{first: given.at, second: given.len})
}

func accepted(yes Acceptance) acceptanceOut {
	var to acceptanceOut
	if yes.Instead != nil {
		events := make([]newEventOut, len(yes.Instead))
		for i, e := range yes.Instead {
			events[i] = newEventOut{outText(e.Kind), outText(e.ContentType), out(e.Payload), keysOut(e.Keys),
				pairsOut(e.Metadata)}
		}
		to.events = maybe{1, out(events)}
	}
	if yes.Reason != "" {
		to.reason = maybe{1, outText(shorten(yes.Reason))}
	}
	to.meta = outMaybe(yes.Meta)
	to.outputs = list{8, 0}
	return to
}

func keysOut(keys []Key) list {
	to := make([]key, len(keys))
	for i, k := range keys {
		to[i] = key{outText(k.Kind), outText(k.ID)}
	}
	return out(to)
}

func pairsOut(pairs []Pair) list {
	to := make([]key, len(pairs))
	for i, p := range pairs {
		to[i] = key{outText(p.Name), outText(p.Value)}
	}
	return out(to)
}

func refuse(index int, no *Rejection) *judgement {
	reasons := make([]reasonOut, len(no.Reasons))
	for i, r := range no.Reasons {
		reasons[i] = reasonOut{outText(r.Code), outText(r.Message), outMaybe(r.Data), out(r.Seqs)}
	}
	given := out(reasons)
	return &judgement{1, uint32(index), given.at, given.len, outMaybe(no.Meta)}
}

//go:wasmexport atomic-store:validator/rules@1.0.0#snapshot
func exportSnapshot() unsafe.Pointer {
	defer reported()
	snapshot := outMaybe(component.running.snapshot())
	return give(&snapshot)
}

//go:wasmexport atomic-store:validator/rules@1.0.0#query
func exportQuery(name, nameLen, args, argsLen uint32) unsafe.Pointer {
	defer reported()
	return result(component.running.query(text(list{name, nameLen}), bytesOf(list{args, argsLen})))
}

//go:wasmexport cabi_post_atomic-store:validator/rules@1.0.0#describe
func postDescribe(uint32) { endCall() }

//go:wasmexport cabi_post_atomic-store:validator/rules@1.0.0#init
func postInit(uint32) { endCall() }

//go:wasmexport cabi_post_atomic-store:validator/rules@1.0.0#restore
func postRestore(uint32) { endCall() }

//go:wasmexport cabi_post_atomic-store:validator/rules@1.0.0#validate
func postValidate(uint32) { endCall() }

//go:wasmexport cabi_post_atomic-store:validator/rules@1.0.0#snapshot
func postSnapshot(uint32) { endCall() }

//go:wasmexport cabi_post_atomic-store:validator/rules@1.0.0#query
func postQuery(uint32) { endCall() }
