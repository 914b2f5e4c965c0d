//! Tests of rules without WebAssembly and without a store: `zig test`.
//!
//! Every step goes through two instances, one that only folds and one that is restored from its own
//! snapshot before each step. They must answer the same, twice, and answering must change neither. So
//! each test of the rules also tests that they are deterministic, and their snapshots.

const std = @import("std");
const atomic_store = @import("atomic_store.zig");
const Allocator = std.mem.Allocator;

var past: []const atomic_store.Event = &.{};

/// What the rules see of the store in a test.
pub const imports = struct {
    pub fn head() u64 {
        return if (past.len == 0) 0 else past[past.len - 1].seq;
    }

    pub fn read(call: Allocator, after: u64, limit: u32) error{OutOfMemory}![]const atomic_store.Event {
        for (past, 0..) |event, at| {
            if (event.seq > after) return call.dupe(atomic_store.Event, past[at..][0..@min(limit, past.len - at)]);
        }
        return &.{};
    }

    pub fn line(_: u8, _: []const u8) void {}
};

/// A scope in memory, judged by the rules under test.
pub fn Scope(comptime V: type) type {
    return struct {
        const Self = @This();
        const Instance = atomic_store.Instance(V);

        /// Everything the test makes, until `deinit`.
        arena: std.heap.ArenaAllocator,
        folded: Instance,
        name: []const u8,
        config: ?[]const u8,
        events: std.ArrayList(atomic_store.Event) = .empty,
        host_ms: u64 = 0,

        /// An empty scope; an error if the rules decline.
        pub fn init(config: ?[]const u8) !Self {
            return start("test/1", config);
        }

        pub fn start(name: []const u8, config: ?[]const u8) !Self {
            var arena: std.heap.ArenaAllocator = .init(std.heap.page_allocator);
            switch (try Instance.init(std.heap.page_allocator, arena.allocator(), name, config)) {
                .no => return error.Declined,
                .instance => |folded| return .{ .arena = arena, .folded = folded, .name = name, .config = config },
            }
        }

        pub fn deinit(self: *Self) void {
            self.folded.deinit();
            self.arena.deinit();
            past = &.{};
        }

        /// Proposes one event, and folds what it becomes.
        pub fn propose(self: *Self, kind: []const u8, payload: []const u8) !Instance.Judgement {
            return self.proposeAll(&.{.{ .kind = kind, .payload = payload, .host_ms = self.host_ms }});
        }

        /// Proposes several in one append.
        pub fn proposeAll(self: *Self, proposals: []const atomic_store.Proposal) !Instance.Judgement {
            const call = self.arena.allocator();
            const judgement = try self.folded.validate(call, proposals);
            try std.testing.expectEqualDeep(judgement, try self.folded.validate(call, proposals));
            var restored = try self.twin();
            try std.testing.expectEqualDeep(judgement, try restored.validate(call, proposals));
            if (judgement == .accepted) {
                for (proposals, judgement.accepted) |*proposal, *yes| {
                    for (try atomic_store.admitted(call, proposal, yes, self.events.items.len)) |event| try self.fold(event);
                }
            }
            return judgement;
        }

        /// Folds an event that is there already.
        pub fn given(self: *Self, kind: []const u8, payload: []const u8) !void {
            try self.fold(.{ .seq = self.events.items.len + 1, .kind = kind, .payload = payload, .host_ms = self.host_ms });
        }

        fn fold(self: *Self, event: atomic_store.Event) !void {
            const call = self.arena.allocator();
            var restored = try self.twin();
            try self.events.append(call, event);
            past = self.events.items;
            const known = try atomic_store.today(V, call, &event);
            try self.folded.apply(call, &.{known});
            try restored.apply(call, &.{known});
            try std.testing.expectEqualStrings(try self.folded.snapshot(call), try restored.snapshot(call));
        }

        /// An instance restored from the snapshot of the one that folds.
        fn twin(self: *Self) !Instance {
            const call = self.arena.allocator();
            return switch (try Instance.restore(call, self.name, self.config, try self.folded.snapshot(call))) {
                .no => error.DeclinesItsOwnSnapshot,
                .instance => |restored| restored,
            };
        }

        /// Expects yes to all.
        pub fn accepted(self: *Self, kind: []const u8, payload: []const u8) !void {
            switch (try self.propose(kind, payload)) {
                .accepted => {},
                .rejected => |no| {
                    std.debug.print("rejected: {s}\n", .{no.rejection.reasons[0].message});
                    return error.Rejected;
                },
            }
        }

        /// Expects a no with this code.
        pub fn rejected(self: *Self, code: []const u8, kind: []const u8, payload: []const u8) !void {
            switch (try self.propose(kind, payload)) {
                .accepted => return error.Accepted,
                .rejected => |no| try std.testing.expectEqualStrings(code, no.rejection.reasons[0].code),
            }
        }

        /// Expects this answer to a query.
        pub fn answers(self: *Self, expected: []const u8, name: []const u8) !void {
            const call = self.arena.allocator();
            var restored = try self.twin();
            for ([_]*const Instance{ &self.folded, &restored }) |instance| {
                switch (try instance.query(call, name, "")) {
                    .found => |found| try std.testing.expectEqualStrings(expected, found),
                    .no => return error.NoAnswer,
                }
            }
        }
    };
}
