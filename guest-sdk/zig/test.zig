//! The SDK's own tests, with the least rules: a sum that stays below a limit.

const std = @import("std");
const atomic_store = @import("atomic_store.zig");
const Allocator = std.mem.Allocator;

const Sum = struct {
    pub const name = "sum";
    pub const version = "1.0.0";
    pub const Config = struct { limit: u64 = 10 };
    pub const State = struct { limit: u64, sum: u64 = 0 };

    pub fn init(_: Allocator, scope: []const u8, config: Config) atomic_store.Error!atomic_store.Start(State) {
        if (std.mem.eql(u8, scope, "no")) return .{ .no = "not this scope" };
        return .{ .state = .{ .limit = config.limit } };
    }

    pub fn apply(state: *State, _: Allocator, call: Allocator, event: *const atomic_store.Event) atomic_store.Error!void {
        state.sum += try event.json(u64, call);
    }

    pub fn validate(state: *const State, call: Allocator, proposal: *const atomic_store.Proposal) atomic_store.Error!atomic_store.Verdict {
        const step = try proposal.json(u64, call);
        if (state.sum +| step > state.limit) return atomic_store.reject(call, "full", "{d} of {d}", .{ state.sum, state.limit });
        if (step == 0) return .{ .accept = .{ .instead = &.{} } };
        return atomic_store.accept;
    }
};

const Instance = atomic_store.Instance(Sum);

test "a batch is judged on a clone, all or nothing" {
    var scope: atomic_store.testing.Scope(Sum) = try .init(null);
    defer scope.deinit();
    const six: atomic_store.Proposal = .{ .kind = "add", .payload = "6" };
    const judgement = try scope.proposeAll(&.{ six, six });
    try std.testing.expectEqual(1, judgement.rejected.index);
    try scope.accepted("add", "6");
    try scope.accepted("add", "0");
    try std.testing.expectEqual(1, scope.events.items.len);
    try scope.rejected("full", "add", "6");
    try scope.rejected("malformed", "add", "-6");
    try scope.rejected("malformed", "add", "6 6");
    // What the rules do not understand is there already, and is not looked at.
    try scope.given("add", "six");
    try scope.accepted("add", "4");
}

test "every cut of a snapshot, and every changed byte, is declined" {
    var arena: std.heap.ArenaAllocator = .init(std.testing.allocator);
    defer arena.deinit();
    const call = arena.allocator();
    var instance = (try Instance.init(call, call, "s", "{\"limit\":7}")).instance;
    const bytes = try call.dupe(u8, try instance.snapshot(call));
    try std.testing.expect((try Instance.restore(call, "s", "{\"limit\":7}", bytes)) == .instance);
    for (0..bytes.len) |at| {
        try std.testing.expect((try Instance.restore(call, "s", "{\"limit\":7}", bytes[0..at])) == .no);
        bytes[at] ^= 4;
        try std.testing.expect((try Instance.restore(call, "s", "{\"limit\":7}", bytes)) == .no);
        bytes[at] ^= 4;
    }
    try std.testing.expect((try Instance.restore(call, "t", "{\"limit\":7}", bytes)) == .no);
    try std.testing.expect((try Instance.restore(call, "s", null, bytes)) == .no);
    try std.testing.expect((try Instance.init(call, call, "no", null)) == .no);
    try std.testing.expect((try Instance.init(call, call, "s", "{\"limit\":7,\"more\":1}")) == .no);
}

test "sentences are cut between characters" {
    var arena: std.heap.ArenaAllocator = .init(std.testing.allocator);
    defer arena.deinit();
    const wide: [1400]u8 = @bitCast(@as([700][2]u8, @splat("\u{e4}".*)));
    const odd = try std.mem.concat(arena.allocator(), u8, &.{ "x", &wide });
    try std.testing.expectEqual(1024, (try atomic_store.shorten(arena.allocator(), &wide)).len);
    const cut = try atomic_store.shorten(arena.allocator(), odd);
    try std.testing.expectEqual(1023, cut.len);
    try std.testing.expect(std.unicode.utf8ValidateSlice(cut));
}
