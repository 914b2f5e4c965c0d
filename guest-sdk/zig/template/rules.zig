//! Seats of a flight: each is taken once.

const std = @import("std");
const atomic_store = @import("atomic_store");
const Allocator = std.mem.Allocator;

pub const panic = atomic_store.panic;

comptime {
    atomic_store.exportValidator(Seats);
}

const Reservation = struct { seat: []const u8 };

const Seats = struct {
    pub const name = "seats";
    pub const version = "1.0.0";
    /// For people and tools; `check` takes the examples to try the rules out.
    pub const kinds = [_]atomic_store.Kind{.{
        .name = "reserve",
        .schema =
        \\{"type":"object","required":["seat"],"properties":{"seat":{"type":"string","examples":["1A","4A","4B","12C"]}}}
        ,
    }};
    pub const Config = struct {};

    /// Which event took which seat. A state is kept as JSON, so its parts must have a JSON form.
    pub const State = struct { taken: std.json.ArrayHashMap(u64) = .{} };

    pub fn init(_: Allocator, _: []const u8, _: Config) atomic_store.Error!atomic_store.Start(State) {
        return .{ .state = .{} };
    }

    pub fn apply(state: *State, keep: Allocator, call: Allocator, event: *const atomic_store.Event) atomic_store.Error!void {
        const reservation = try event.json(Reservation, call);
        try state.taken.map.put(keep, try keep.dupe(u8, reservation.seat), event.seq);
    }

    pub fn validate(state: *const State, call: Allocator, proposal: *const atomic_store.Proposal) atomic_store.Error!atomic_store.Verdict {
        if (!std.mem.eql(u8, proposal.kind, "reserve")) return proposal.unknownKind(call);
        const reservation = try proposal.json(Reservation, call);
        const seq = state.taken.map.get(reservation.seat) orelse return atomic_store.accept;
        return atomic_store.rejectWith(call, .{
            .code = "taken",
            .message = try atomic_store.print(call, "seat {s} is taken", .{reservation.seat}),
            .seqs = try call.dupe(u64, &.{seq}),
        });
    }
};

test "a seat is taken once" {
    var flight: atomic_store.testing.Scope(Seats) = try .init(null);
    defer flight.deinit();
    try flight.accepted("reserve", "{\"seat\":\"4A\"}");
    try flight.rejected("taken", "reserve", "{\"seat\":\"4A\"}");
    try flight.accepted("reserve", "{\"seat\":\"4B\"}");
    try flight.rejected("malformed", "reserve", "{\"seat\":4}");
    try flight.rejected("unknown-kind", "land", "{}");
}
