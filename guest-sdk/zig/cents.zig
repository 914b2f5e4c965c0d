//! Rules whose events have changed their form: what was `euros` is a hundred `cents` today. They are tested
//! here, and built for tests of the store.

const std = @import("std");
const atomic_store = @import("atomic_store");
const Allocator = std.mem.Allocator;
const Error = atomic_store.Error;

pub const panic = atomic_store.panic;

comptime {
    atomic_store.exportValidator(Cents);
}

const Cents = struct {
    pub const name = "cents";
    pub const version = "2.0.0";
    pub const Config = struct {};
    pub const State = struct { sum: u64 = 0 };

    pub fn init(_: Allocator, _: []const u8, _: Config) Error!atomic_store.Start(State) {
        return .{ .state = .{} };
    }

    pub fn upcast(call: Allocator, event: *const atomic_store.Event) Error!?atomic_store.NewEvent {
        if (!std.mem.eql(u8, event.kind, "euros")) return null;
        const cents = try atomic_store.toJson(call, try event.json(u64, call) * 100);
        return .{ .kind = "cents", .payload = cents, .keys = event.keys };
    }

    pub fn apply(state: *State, _: Allocator, call: Allocator, event: *const atomic_store.Event) Error!void {
        if (!std.mem.eql(u8, event.kind, "cents")) @panic("apply sees the newer form only");
        state.sum += try event.json(u64, call);
    }

    pub fn validate(state: *const State, call: Allocator, proposal: *const atomic_store.Proposal) Error!atomic_store.Verdict {
        _ = try proposal.json(u64, call);
        if (state.sum > 500) return atomic_store.reject(call, "full", "more than 500 cents", .{});
        return atomic_store.accept;
    }

    pub fn query(state: *const State, call: Allocator, _: []const u8, _: []const u8) Error!atomic_store.Answer {
        return .{ .found = try atomic_store.toJson(call, state.sum) };
    }
};

test "older events are folded as what they are today, within a batch too" {
    var scope: atomic_store.testing.Scope(Cents) = try .init(null);
    defer scope.deinit();
    try scope.given("euros", "3");
    try scope.given("cents", "7");
    try scope.answers("307", "sum");
    const euros: atomic_store.Proposal = .{ .kind = "euros", .payload = "2" };
    const judgement = try scope.proposeAll(&.{ euros, euros });
    try std.testing.expectEqual(1, judgement.rejected.index);
    try scope.accepted("euros", "2");
    try scope.answers("507", "sum");
    try std.testing.expectEqualStrings("euros", scope.events.items[2].kind);
}
