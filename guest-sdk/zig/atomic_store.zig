//! Validators for Atomic Store in Zig: one import, no generator, no libc.
//!
//! A validator is a struct with declarations; README.md shows a whole one. `exportValidator` makes it
//! what the store loads, `testing.Scope` tests it natively.
//!
//! The rules are deterministic: what they answer depends on the state and the proposal, on nothing
//! else. There is no clock, no randomness, no file; time is `proposal.host_ms`.
//!
//! Memory: two allocators are handed in, and nothing is ever freed by hand. `keep` lives as long as the
//! state; what is not needed any more goes when the SDK copies the state to a fresh place. `call` lives
//! until the call ends, as the arguments do.

const std = @import("std");
const builtin = @import("builtin");
const Allocator = std.mem.Allocator;

pub const testing = @import("testing.zig");
const abi = @import("abi.zig");

/// What an event is about.
pub const Key = struct { kind: []const u8, id: []const u8 };
/// A pair that travels with an event.
pub const Pair = struct { name: []const u8, value: []const u8 };

/// An accepted event of this scope.
pub const Event = struct {
    seq: u64,
    kind: []const u8,
    content_type: []const u8 = "application/json",
    payload: []const u8,
    keys: []const Key = &.{},
    metadata: []const Pair = &.{},
    caller_ms: ?u64 = null,
    host_ms: u64 = 0,

    /// The payload as JSON: whole, or an error. Fields that `T` does not have are skipped.
    pub fn json(event: *const Event, comptime T: type, call: Allocator) Error!T {
        return parse(T, call, event.payload);
    }
};

/// An event that a client wants to append. Untrusted.
pub const Proposal = struct {
    kind: []const u8,
    content_type: []const u8 = "application/json",
    payload: []const u8,
    keys: []const Key = &.{},
    metadata: []const Pair = &.{},
    caller_ms: ?u64 = null,
    host_ms: u64 = 0,

    /// The payload as JSON: whole, or an error, which `try` makes a rejection with code `malformed`.
    pub fn json(proposal: *const Proposal, comptime T: type, call: Allocator) Error!T {
        return parse(T, call, proposal.payload);
    }

    /// A rejection with the code `unknown-kind`.
    pub fn unknownKind(proposal: *const Proposal, call: Allocator) Error!Verdict {
        return reject(call, "unknown-kind", "these rules know no event of kind \"{s}\"", .{proposal.kind});
    }
};

/// An event to store in place of a proposal.
pub const NewEvent = struct {
    kind: []const u8,
    content_type: []const u8 = "application/json",
    payload: []const u8,
    keys: []const Key = &.{},
    metadata: []const Pair = &.{},
};

/// A kind of event, and the JSON schema of its payload.
pub const Kind = struct { name: []const u8, schema: ?[]const u8 = null };

/// `OutOfMemory` traps, which refuses the append; `Malformed` is a rejection.
pub const Error = error{ OutOfMemory, Malformed };

/// Yes to one proposal.
pub const Acceptance = struct {
    /// Null: store it as proposed. Otherwise store these instead; none at all is allowed.
    instead: ?[]const NewEvent = null,
    /// A sentence for the caller.
    reason: ?[]const u8 = null,
    /// Data for the caller, not stored.
    meta: ?[]const u8 = null,
};

/// One reason of a rejection.
pub const Reason = struct {
    code: []const u8,
    message: []const u8,
    data: ?[]const u8 = null,
    seqs: []const u64 = &.{},
};

/// No to a proposal.
pub const Rejection = struct { reasons: []const Reason, meta: ?[]const u8 = null };

/// The answer to one proposal.
pub const Verdict = union(enum) { accept: Acceptance, reject: Rejection };

/// Yes, as proposed.
pub const accept: Verdict = .{ .accept = .{} };

/// No, with a short word for programs and a sentence for people.
pub fn reject(call: Allocator, code: []const u8, comptime fmt: []const u8, args: anytype) Error!Verdict {
    return rejectWith(call, .{ .code = code, .message = try print(call, fmt, args) });
}

/// No, for one reason with all that it can have.
pub fn rejectWith(call: Allocator, reason: Reason) Error!Verdict {
    const reasons = try call.dupe(Reason, &.{reason});
    return .{ .reject = .{ .reasons = reasons } };
}

/// A sentence within the cap of the contract.
pub fn print(call: Allocator, comptime fmt: []const u8, args: anytype) Error![]const u8 {
    return shorten(call, try std.fmt.allocPrint(call, fmt, args));
}

/// An answer to a query, or why there is none.
pub const Answer = union(enum) { found: []const u8, no: []const u8 };

/// A value as JSON, as short as it can be. Optional fields that are null are written.
pub fn toJson(call: Allocator, value: anytype) Error![]const u8 {
    return std.json.Stringify.valueAlloc(call, value, .{});
}

/// JSON as a value, strictly: duplicate fields, deep nesting and anything behind it are errors.
pub fn parse(comptime T: type, allocator: Allocator, json: []const u8) Error!T {
    return parseAs(T, allocator, json, true);
}

fn parseAs(comptime T: type, allocator: Allocator, json: []const u8, ignore_unknown: bool) Error!T {
    return std.json.parseFromSliceLeaky(T, allocator, json, .{
        .ignore_unknown_fields = ignore_unknown,
        .allocate = .alloc_always,
    }) catch |err| if (err == error.OutOfMemory) error.OutOfMemory else error.Malformed;
}

const message_bytes_max = 1024;

/// Cut between characters: what is said often quotes what came in.
pub fn shorten(call: Allocator, text: []const u8) error{OutOfMemory}![]const u8 {
    if (text.len <= message_bytes_max) return text;
    const mark = " ...";
    var end: usize = message_bytes_max - mark.len;
    while (end > 0 and text[end] & 0xc0 == 0x80) end -= 1;
    return std.mem.concat(call, u8, &.{ text[0..end], mark });
}

/// Earlier events of the scope, for rules that would rather look than fold.
pub const history = struct {
    /// The number of the last event, 0 for none.
    pub fn head() u64 {
        return source.head();
    }

    /// Events after `after`, in order: at most `limit`, fewer if they are large, none at the end.
    pub fn read(call: Allocator, after: u64, limit: u32) error{OutOfMemory}![]const Event {
        return source.read(call, after, limit);
    }
};

/// Lines for the author of the rules; they never influence a verdict.
pub fn log(level: enum { debug, info, warn, @"error" }, message: []const u8) void {
    source.line(@intFromEnum(level), message);
}

const source = if (builtin.cpu.arch == .wasm32) abi.imports else testing.imports;

/// For the root file: `pub const panic = atomic_store.panic;` The text of a panic goes to the log,
/// because the trap that follows carries none.
pub const panic = std.debug.FullPanic(struct {
    fn panic(message: []const u8, _: ?usize) noreturn {
        log(.@"error", message);
        @trap();
    }
}.panic);

/// Exports a validator as what the store loads. Once, in a `comptime` block.
pub fn exportValidator(comptime V: type) void {
    if (builtin.cpu.arch == .wasm32) abi.exportInstance(V) else _ = Instance(V);
}

/// What the rules are told when they start: the state, or why there is none.
pub fn Start(comptime State: type) type {
    return union(enum) { state: State, no: []const u8 };
}

/// One scope's rules at work. The store and the tests take this path and no other.
pub fn Instance(comptime V: type) type {
    return struct {
        const Self = @This();
        /// Bytes that a state's place may grow by before the state is copied to a fresh one.
        const slack = 16 * 1024;
        /// Format of snapshots, hash of what they fit, head, hash of the state.
        const header_bytes = 25;

        place: std.heap.ArenaAllocator,
        state: V.State,
        head: u64 = 0,
        origin: u64,
        /// Bytes of the place after the last copy.
        fresh: usize = 0,

        pub const Started = union(enum) { instance: Self, no: []const u8 };

        /// A scope without events.
        pub fn init(gpa: Allocator, call: Allocator, scope: []const u8, config: ?[]const u8) error{OutOfMemory}!Started {
            var place: std.heap.ArenaAllocator = .init(gpa);
            const parsed: V.Config = if (config) |json|
                parseAs(V.Config, place.allocator(), json, false) catch |err| switch (err) {
                    error.OutOfMemory => return error.OutOfMemory,
                    error.Malformed => {
                        place.deinit();
                        return .{ .no = "the configuration of " ++ V.name ++ " is wrong: it does not decode" };
                    },
                }
            else
                .{};
            const start: Start(V.State) = V.init(place.allocator(), scope, parsed) catch |err| switch (@as(Error, err)) {
                error.OutOfMemory => return error.OutOfMemory,
                error.Malformed => .{ .no = "the rules of " ++ V.name ++ " do not take this scope or configuration" },
            };
            switch (start) {
                .no => |why| {
                    const kept = try shorten(call, try call.dupe(u8, why));
                    place.deinit();
                    return .{ .no = kept };
                },
                .state => |state| return .{ .instance = .{
                    .place = place,
                    .state = state,
                    .origin = originOf(scope, config),
                    .fresh = place.queryCapacity(),
                } },
            }
        }

        /// A scope as it was when the snapshot was taken; anything else is declined.
        pub fn restore(gpa: Allocator, scope: []const u8, config: ?[]const u8, bytes: []const u8) error{OutOfMemory}!Started {
            const no: Started = .{ .no = "the snapshot is of something else, or damaged" };
            const origin = originOf(scope, config);
            if (bytes.len < header_bytes or bytes[0] != 1) return no;
            const head = std.mem.readInt(u64, bytes[9..17], .little);
            const json = bytes[header_bytes..];
            if (std.mem.readInt(u64, bytes[1..9], .little) != origin) return no;
            if (std.mem.readInt(u64, bytes[17..25], .little) != checksum(head, json)) return no;
            var place: std.heap.ArenaAllocator = .init(gpa);
            const state = parseAs(V.State, place.allocator(), json, false) catch |err| switch (err) {
                error.OutOfMemory => return error.OutOfMemory,
                error.Malformed => {
                    place.deinit();
                    return no;
                },
            };
            const fresh = place.queryCapacity();
            return .{ .instance = .{ .place = place, .state = state, .head = head, .origin = origin, .fresh = fresh } };
        }

        pub fn deinit(self: *Self) void {
            self.place.deinit();
        }

        /// Folds accepted events.
        pub fn apply(self: *Self, call: Allocator, events: []const Event) error{OutOfMemory}!void {
            for (events) |*event| {
                try fold(&self.state, self.place.allocator(), call, event);
                self.head = event.seq;
            }
            if (self.place.queryCapacity() > 2 * self.fresh + slack) try self.copy(call);
        }

        fn fold(state: *V.State, keep: Allocator, call: Allocator, event: *const Event) error{OutOfMemory}!void {
            V.apply(state, keep, call, event) catch |err| switch (@as(Error, err)) {
                error.OutOfMemory => return error.OutOfMemory,
                // It has been accepted, perhaps by an earlier version; these rules do not understand it.
                error.Malformed => {},
            };
        }

        fn copy(self: *Self, call: Allocator) error{OutOfMemory}!void {
            var place: std.heap.ArenaAllocator = .init(self.place.child_allocator);
            self.state = try clone(&self.state, place.allocator(), call);
            self.place.deinit();
            self.place = place;
            self.fresh = place.queryCapacity();
        }

        fn clone(state: *const V.State, keep: Allocator, call: Allocator) error{OutOfMemory}!V.State {
            return parseAs(V.State, keep, try encode(state, call), false) catch |err| switch (err) {
                error.OutOfMemory => error.OutOfMemory,
                error.Malformed => @panic("a state must read back from its own JSON"),
            };
        }

        fn encode(state: *const V.State, call: Allocator) error{OutOfMemory}![]const u8 {
            return std.json.Stringify.valueAlloc(call, state.*, .{});
        }

        pub const Judgement = union(enum) {
            accepted: []const Acceptance,
            rejected: struct { index: u32, rejection: Rejection },
        };

        /// Judges one append; each proposal as if those before it had been accepted.
        pub fn validate(self: *const Self, call: Allocator, proposals: []const Proposal) error{OutOfMemory}!Judgement {
            const acceptances = try call.alloc(Acceptance, proposals.len);
            var state: *const V.State = &self.state;
            var copied: V.State = undefined;
            var head = self.head;
            for (proposals, acceptances, 0..) |*proposal, *acceptance, index| {
                switch (try judge(state, call, proposal)) {
                    .reject => |rejection| return .{ .rejected = .{ .index = @intCast(index), .rejection = rejection } },
                    .accept => |yes| acceptance.* = yes,
                }
                if (index + 1 == proposals.len) break;
                // The state is cloned only where a later proposal needs to see this one.
                if (state != &copied) {
                    copied = try clone(state, call, call);
                    state = &copied;
                }
                for (try admitted(call, proposal, acceptance, head)) |*event| {
                    head = event.seq;
                    try fold(&copied, call, call, &try today(V, call, event));
                }
            }
            return .{ .accepted = acceptances };
        }

        fn judge(state: *const V.State, call: Allocator, proposal: *const Proposal) error{OutOfMemory}!Verdict {
            const verdict: Error!Verdict = V.validate(state, call, proposal);
            return verdict catch |err| switch (err) {
                error.OutOfMemory => error.OutOfMemory,
                error.Malformed => orTrap(reject(call, "malformed", "the payload of \"{s}\" is malformed", .{proposal.kind})),
            };
        }

        /// The state as bytes.
        pub fn snapshot(self: *const Self, call: Allocator) error{OutOfMemory}![]const u8 {
            const json = try encode(&self.state, call);
            const bytes = try call.alloc(u8, header_bytes + json.len);
            bytes[0] = 1;
            std.mem.writeInt(u64, bytes[1..9], self.origin, .little);
            std.mem.writeInt(u64, bytes[9..17], self.head, .little);
            std.mem.writeInt(u64, bytes[17..25], checksum(self.head, json), .little);
            @memcpy(bytes[header_bytes..], json);
            return bytes;
        }

        /// Asks the state.
        pub fn query(self: *const Self, call: Allocator, name: []const u8, args: []const u8) error{OutOfMemory}!Answer {
            if (!@hasDecl(V, "query")) return .{ .no = V.name ++ " answers no queries" };
            const answer: Error!Answer = V.query(&self.state, call, name, args);
            const said = answer catch |err| switch (err) {
                error.OutOfMemory => return error.OutOfMemory,
                error.Malformed => return .{ .no = "the arguments are malformed" },
            };
            return switch (said) {
                .found => said,
                .no => |why| .{ .no = try shorten(call, why) },
            };
        }

        fn originOf(scope: []const u8, config: ?[]const u8) u64 {
            var hash: std.hash.Fnv1a_64 = .init();
            for ([_][]const u8{ V.name, V.version, scope, config orelse "" }) |part| {
                hash.update(&std.mem.toBytes(std.mem.nativeToLittle(u64, part.len)));
                hash.update(part);
            }
            hash.update(&.{@intFromBool(config != null)});
            return hash.final();
        }

        /// Not a defence: the store guards its own files.
        fn checksum(head: u64, json: []const u8) u64 {
            var hash: std.hash.Fnv1a_64 = .init();
            hash.update(&std.mem.toBytes(std.mem.nativeToLittle(u64, head)));
            hash.update(json);
            return hash.final();
        }
    };
}

fn orTrap(verdict: Error!Verdict) error{OutOfMemory}!Verdict {
    return verdict catch error.OutOfMemory;
}

/// What an event is today, where the rules have a `pub fn upcast(call: Allocator, event: *const Event) Error!?NewEvent`;
/// an older event that does not decode is as it was.
pub fn newer(comptime V: type, call: Allocator, event: *const Event) error{OutOfMemory}!?NewEvent {
    if (!@hasDecl(V, "upcast")) return null;
    return V.upcast(call, event) catch |err| switch (@as(Error, err)) {
        error.OutOfMemory => error.OutOfMemory,
        error.Malformed => null,
    };
}

/// An event as the rules know it today; the store asks the same before it folds.
pub fn today(comptime V: type, call: Allocator, event: *const Event) error{OutOfMemory}!Event {
    const new = try newer(V, call, event) orelse return event.*;
    return .{
        .seq = event.seq,
        .kind = new.kind,
        .content_type = new.content_type,
        .payload = new.payload,
        .keys = new.keys,
        .metadata = new.metadata,
        .caller_ms = event.caller_ms,
        .host_ms = event.host_ms,
    };
}

/// The events that an accepted proposal becomes, numbered after `head`.
pub fn admitted(call: Allocator, proposal: *const Proposal, yes: *const Acceptance, head: u64) error{OutOfMemory}![]const Event {
    const own: [1]NewEvent = .{.{
        .kind = proposal.kind,
        .content_type = proposal.content_type,
        .payload = proposal.payload,
        .keys = proposal.keys,
        .metadata = proposal.metadata,
    }};
    const stored = yes.instead orelse &own;
    const events = try call.alloc(Event, stored.len);
    for (events, stored, 1..) |*event, new, number| event.* = .{
        .seq = head + number,
        .kind = new.kind,
        .content_type = new.content_type,
        .payload = new.payload,
        .keys = new.keys,
        .metadata = new.metadata,
        .caller_ms = proposal.caller_ms,
        .host_ms = proposal.host_ms,
    };
    return events;
}

test {
    _ = testing;
}
