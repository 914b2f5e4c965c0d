//! The border to the store: the canonical ABI of wit/validator.wit, by hand. The `extern` structs have
//! the layout of the contract's records.

const std = @import("std");
const atomic_store = @import("atomic_store.zig");
const Allocator = std.mem.Allocator;

const gpa = std.heap.wasm_allocator;

/// What lives until the call ends: arguments on their way in, the answer on its way out. The store asks
/// for it before a call begins, so only the end of a call may empty it.
var place: std.heap.ArenaAllocator = .init(gpa);

fn call() Allocator {
    return place.allocator();
}

fn endCall() void {
    _ = place.reset(.{ .retain_with_limit = 64 * 1024 });
}

fn List(comptime T: type) type {
    return extern struct {
        at: [*]const T,
        len: usize,

        fn of(items: []const T) @This() {
            // The address of an empty list counts, too: it must be aligned and within the memory.
            return .{ .at = if (items.len == 0) @ptrFromInt(8) else items.ptr, .len = items.len };
        }

        fn slice(list: @This()) []const T {
            return if (list.len == 0) &.{} else list.at[0..list.len];
        }
    };
}

fn Maybe(comptime T: type) type {
    return extern struct {
        some: bool,
        value: T,

        const none: @This() = .{ .some = false, .value = std.mem.zeroes(T) };

        fn some_(value: T) @This() {
            return .{ .some = true, .value = value };
        }
    };
}

const Text = List(u8);

fn maybeText(text: ?[]const u8) Maybe(Text) {
    return if (text) |some| .some_(.of(some)) else .{ .some = false, .value = .of("") };
}

const Key = extern struct { kind: Text, id: Text };
const Pair = extern struct { name: Text, value: Text };

const EventIn = extern struct {
    seq: u64,
    kind: Text,
    content_type: Text,
    payload: Text,
    keys: List(Key),
    metadata: List(Pair),
    caller_ms: Maybe(u64),
    host_ms: u64,
};

const ProposalIn = extern struct {
    kind: Text,
    content_type: Text,
    payload: Text,
    keys: List(Key),
    metadata: List(Pair),
    caller_ms: Maybe(u64),
    host_ms: u64,
};

const NewEvent = extern struct {
    kind: Text,
    content_type: Text,
    payload: Text,
    keys: List(Key),
    metadata: List(Pair),
};

const Output = extern struct { channel: Text, payload: Text };

const Acceptance = extern struct {
    events: Maybe(List(NewEvent)),
    reason: Maybe(Text),
    meta: Maybe(Text),
    outputs: List(Output),
};

const Reason = extern struct { code: Text, message: Text, data: Maybe(Text), seqs: List(u64) };
const Refusal = extern struct { index: u32, reasons: List(Reason), meta: Maybe(Text) };

const Judgement = extern struct {
    is_refusal: bool,
    of: extern union { acceptances: List(Acceptance), refusal: Refusal },
};

const Answer = extern struct { is_error: bool, value: Text };
const Kind = extern struct { name: Text, schema: Maybe(Text) };
const Description = extern struct { name: Text, version: Text, kinds: List(Kind) };

comptime {
    const sizes = .{ .{ EventIn, 72 }, .{ ProposalIn, 64 }, .{ NewEvent, 40 }, .{ Acceptance, 44 }, .{ Reason, 36 }, .{ Judgement, 28 }, .{ Kind, 20 } };
    for (sizes) |size| if (@sizeOf(size[0]) != size[1]) @compileError("not the layout of the contract");
}

const history = "atomic-store:validator/history@1.0.0";
extern "atomic-store:validator/history@1.0.0" fn head() u64;
extern "atomic-store:validator/history@1.0.0" fn read(after: u64, limit: u32, page: *List(EventIn)) void;
extern "atomic-store:validator/log@1.0.0" fn line(level: i32, at: [*]const u8, len: usize) void;
const imported = struct {
    const head_ = head;
    const read_ = read;
    const line_ = line;
};

pub const imports = struct {
    pub fn head() u64 {
        return imported.head_();
    }

    pub fn read(allocator: Allocator, after: u64, limit: u32) error{OutOfMemory}![]const atomic_store.Event {
        var page: List(EventIn) = undefined;
        imported.read_(after, limit, &page);
        return eventsOf(allocator, page.slice());
    }

    pub fn line(level: u8, message: []const u8) void {
        imported.line_(level, message.ptr, message.len);
    }
};

fn keysOf(allocator: Allocator, list: List(Key)) ![]const atomic_store.Key {
    const keys = try allocator.alloc(atomic_store.Key, list.len);
    for (keys, list.slice()) |*key, in| key.* = .{ .kind = in.kind.slice(), .id = in.id.slice() };
    return keys;
}

fn pairsOf(allocator: Allocator, list: List(Pair)) ![]const atomic_store.Pair {
    const pairs = try allocator.alloc(atomic_store.Pair, list.len);
    for (pairs, list.slice()) |*pair, in| pair.* = .{ .name = in.name.slice(), .value = in.value.slice() };
    return pairs;
}

fn eventsOf(allocator: Allocator, list: []const EventIn) ![]const atomic_store.Event {
    const events = try allocator.alloc(atomic_store.Event, list.len);
    for (events, list) |*event, in| event.* = .{
        .seq = in.seq,
        .kind = in.kind.slice(),
        .content_type = in.content_type.slice(),
        .payload = in.payload.slice(),
        .keys = try keysOf(allocator, in.keys),
        .metadata = try pairsOf(allocator, in.metadata),
        .caller_ms = if (in.caller_ms.some) in.caller_ms.value else null,
        .host_ms = in.host_ms,
    };
    return events;
}

fn proposalsOf(allocator: Allocator, list: []const ProposalIn) ![]const atomic_store.Proposal {
    const proposals = try allocator.alloc(atomic_store.Proposal, list.len);
    for (proposals, list) |*proposal, in| proposal.* = .{
        .kind = in.kind.slice(),
        .content_type = in.content_type.slice(),
        .payload = in.payload.slice(),
        .keys = try keysOf(allocator, in.keys),
        .metadata = try pairsOf(allocator, in.metadata),
        .caller_ms = if (in.caller_ms.some) in.caller_ms.value else null,
        .host_ms = in.host_ms,
    };
    return proposals;
}

fn newEvents(allocator: Allocator, events: []const atomic_store.NewEvent) ![]const NewEvent {
    const out = try allocator.alloc(NewEvent, events.len);
    for (out, events) |*place_, event| {
        const keys = try allocator.alloc(Key, event.keys.len);
        for (keys, event.keys) |*key, from| key.* = .{ .kind = .of(from.kind), .id = .of(from.id) };
        const pairs = try allocator.alloc(Pair, event.metadata.len);
        for (pairs, event.metadata) |*pair, from| pair.* = .{ .name = .of(from.name), .value = .of(from.value) };
        place_.* = .{
            .kind = .of(event.kind),
            .content_type = .of(event.content_type),
            .payload = .of(event.payload),
            .keys = .of(keys),
            .metadata = .of(pairs),
        };
    }
    return out;
}

fn accepted(allocator: Allocator, all: []const atomic_store.Acceptance) !Judgement {
    const out = try allocator.alloc(Acceptance, all.len);
    for (out, all) |*place_, yes| place_.* = .{
        .events = if (yes.instead) |events| .some_(.of(try newEvents(allocator, events))) else .{ .some = false, .value = .of(&.{}) },
        .reason = maybeText(yes.reason),
        .meta = maybeText(yes.meta),
        .outputs = .of(&.{}),
    };
    return .{ .is_refusal = false, .of = .{ .acceptances = .of(out) } };
}

fn refused(allocator: Allocator, index: u32, no: atomic_store.Rejection) !Judgement {
    const reasons = try allocator.alloc(Reason, no.reasons.len);
    for (reasons, no.reasons) |*place_, reason| place_.* = .{
        .code = .of(reason.code),
        .message = .of(try atomic_store.shorten(allocator, reason.message)),
        .data = maybeText(reason.data),
        .seqs = .of(reason.seqs),
    };
    return .{ .is_refusal = true, .of = .{ .refusal = .{
        .index = index,
        .reasons = .of(reasons),
        .meta = maybeText(no.meta),
    } } };
}

fn orTrap(value: anytype) @typeInfo(@TypeOf(value)).error_union.payload {
    return value catch @panic("out of memory");
}

/// The store asks for memory piece by piece. Nothing of it outlives the call.
fn realloc(old: ?[*]u8, old_len: usize, alignment: usize, len: usize) callconv(.c) [*]u8 {
    _ = alignment;
    const new = orTrap(call().alignedAlloc(u8, .@"8", @max(len, 1)));
    if (old) |from| @memcpy(new[0..@min(old_len, len)], from[0..@min(old_len, len)]);
    return new.ptr;
}

/// Exports the contract's functions.
pub fn exportInstance(comptime V: type) void {
    const rules = "atomic-store:validator/rules@1.0.0#";
    const E = Exports(V);
    @export(&realloc, .{ .name = "cabi_realloc" });
    for ([_][]const u8{ "describe", "init", "restore", "apply", "validate", "snapshot", "query" }) |name| {
        @export(&@field(E, name), .{ .name = rules ++ name });
        if (!std.mem.eql(u8, name, "apply")) @export(&E.post, .{ .name = "cabi_post_" ++ rules ++ name });
    }
    if (@hasDecl(V, "upcast")) {
        const upcast = "atomic-store:validator/upcasting@1.0.0#upcast";
        @export(&E.upcast, .{ .name = upcast });
        @export(&E.post, .{ .name = "cabi_post_" ++ upcast });
    }
}

fn Exports(comptime V: type) type {
    return struct {
        const Instance = atomic_store.Instance(V);
        var instance: ?Instance = null;
        // Where answers stand that are of one size.
        var description: Description = undefined;
        var answer: Answer = undefined;
        var bytes: Maybe(Text) = undefined;
        var judgement: Judgement = undefined;
        var upcasted: List(Maybe(NewEvent)) = undefined;

        fn post(_: *const anyopaque) callconv(.c) void {
            endCall();
        }

        /// The contract's order of calls, which the store keeps; a trap is the right answer to another.
        fn running() *Instance {
            return &(instance orelse @panic("the store calls init or restore first"));
        }

        fn describe() callconv(.c) *const Description {
            const known: []const atomic_store.Kind = if (@hasDecl(V, "kinds")) &V.kinds else &.{};
            const kinds = orTrap(call().alloc(Kind, known.len));
            for (kinds, known) |*place_, kind| place_.* = .{ .name = .of(kind.name), .schema = maybeText(kind.schema) };
            description = .{ .name = .of(V.name), .version = .of(V.version), .kinds = .of(kinds) };
            return &description;
        }

        fn started(start: Instance.Started) *const Answer {
            if (instance) |*earlier| earlier.deinit();
            instance = null;
            switch (start) {
                .no => |why| answer = .{ .is_error = true, .value = .of(why) },
                .instance => |running_| {
                    instance = running_;
                    answer = .{ .is_error = false, .value = .of("") };
                },
            }
            return &answer;
        }

        fn init(scope: [*]const u8, scope_len: usize, configured: u32, config: [*]const u8, config_len: usize) callconv(.c) *const Answer {
            const given = if (configured != 0) config[0..config_len] else null;
            return started(orTrap(Instance.init(gpa, call(), scope[0..scope_len], given)));
        }

        fn restore(scope: [*]const u8, scope_len: usize, configured: u32, config: [*]const u8, config_len: usize, from: [*]const u8, from_len: usize) callconv(.c) *const Answer {
            const given = if (configured != 0) config[0..config_len] else null;
            return started(orTrap(Instance.restore(gpa, scope[0..scope_len], given, from[0..from_len])));
        }

        fn apply(events: [*]const EventIn, len: usize) callconv(.c) void {
            orTrap(running().apply(call(), orTrap(eventsOf(call(), events[0..len]))));
            endCall();
        }

        fn upcast(events: [*]const EventIn, len: usize) callconv(.c) *const List(Maybe(NewEvent)) {
            const asked = orTrap(eventsOf(call(), events[0..len]));
            const answers = orTrap(call().alloc(Maybe(NewEvent), len));
            for (answers, asked) |*place_, *event| {
                const new = orTrap(atomic_store.newer(V, call(), event));
                place_.* = if (new) |some| .some_(orTrap(newEvents(call(), &.{some}))[0]) else .none;
            }
            upcasted = .of(answers);
            return &upcasted;
        }

        fn validate(proposals: [*]const ProposalIn, len: usize) callconv(.c) *const Judgement {
            const asked = orTrap(proposalsOf(call(), proposals[0..len]));
            judgement = switch (orTrap(running().validate(call(), asked))) {
                .accepted => |all| orTrap(accepted(call(), all)),
                .rejected => |no| orTrap(refused(call(), no.index, no.rejection)),
            };
            return &judgement;
        }

        fn snapshot() callconv(.c) *const Maybe(Text) {
            const wanted = !@hasDecl(V, "snapshots") or V.snapshots;
            bytes = maybeText(if (wanted) orTrap(running().snapshot(call())) else null);
            return &bytes;
        }

        fn query(name: [*]const u8, name_len: usize, args: [*]const u8, args_len: usize) callconv(.c) *const Answer {
            answer = switch (orTrap(running().query(call(), name[0..name_len], args[0..args_len]))) {
                .found => |found| .{ .is_error = false, .value = .of(found) },
                .no => |why| .{ .is_error = true, .value = .of(why) },
            };
            return &answer;
        }
    };
}
