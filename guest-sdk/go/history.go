package guest

// Level says how a log line is meant.
type Level int

// The levels of log lines.
const (
	Debug Level = iota
	Note
	Warn
	Error
)

// Log writes a line for the author of the rules; it never influences a verdict.
func Log(level Level, message string) { logLine(int(level), message) }

// HistoryHead is the number of the last event of the scope, 0 for none.
func HistoryHead() uint64 { return historyHead() }

// HistoryRead gives events after `after`, in order: at most limit, fewer if they are large, none at the
// end. For rules that would rather look than fold.
func HistoryRead(after uint64, limit uint32) []Event { return historyRead(after, limit) }
