//! An English auction. examples/auction says what its rules are; these are the same, in Zig.

const std = @import("std");
const atomic_store = @import("atomic_store");
const Allocator = std.mem.Allocator;
const Error = atomic_store.Error;

pub const panic = atomic_store.panic;

comptime {
    atomic_store.exportValidator(Auction);
}

/// An amount of money in cents, as people and spreadsheets write it: `95`, `95.5` or `"95.50"`. One
/// that is no whole number of cents is an error, never rounded.
const Cents = struct {
    value: u64,

    const max = 999_999_999_999;

    pub fn jsonParse(allocator: Allocator, source: anytype, options: std.json.ParseOptions) !Cents {
        const value = switch (try source.nextAllocMax(allocator, .alloc_if_needed, options.max_value_len.?)) {
            .string, .allocated_string => |text| fromText(text),
            .number, .allocated_number => |text| fromNumber(try std.fmt.parseFloat(f64, text)),
            else => null,
        };
        return .{ .value = value orelse return error.UnexpectedToken };
    }

    /// Up to ten digits, and up to two more behind a point.
    fn fromText(text: []const u8) ?u64 {
        const whole, const part = std.mem.cutScalar(u8, text, '.') orelse .{ text, "0" };
        const tens: u64 = if (part.len == 1) 10 else 1;
        return (digits(whole, 10) orelse return null) * 100 + (digits(part, 2) orelse return null) * tens;
    }

    fn digits(text: []const u8, most: usize) ?u64 {
        if (text.len < 1 or text.len > most) return null;
        var sum: u64 = 0;
        for (text) |byte| {
            if (!std.ascii.isDigit(byte)) return null;
            sum = sum * 10 + (byte - '0');
        }
        return sum;
    }

    fn fromNumber(number: f64) ?u64 {
        const cents = @round(number * 100);
        // Division rounds correctly, so exactly the numbers written with two decimals come back.
        if (cents / 100 != number or cents < 0 or cents > max) return null;
        return @trunc(cents);
    }

    pub fn jsonStringify(cents: Cents, json: anytype) !void {
        try json.print("\"{f}\"", .{cents});
    }

    pub fn format(cents: Cents, writer: *std.Io.Writer) !void {
        try writer.print("{d}.{d:0>2}", .{ cents.value / 100, cents.value % 100 });
    }
};

/// Who bids: text, or a whole number that every language reads exactly.
const Name = struct {
    text: []const u8,

    const number_max = (1 << 53) - 1;

    pub fn jsonParse(allocator: Allocator, source: anytype, options: std.json.ParseOptions) !Name {
        switch (try source.nextAllocMax(allocator, .alloc_always, options.max_value_len.?)) {
            .allocated_string => |text| return .{ .text = text },
            .allocated_number => |text| {
                const number = try std.fmt.parseFloat(f64, text);
                if (number != @trunc(number) or number < 0 or number > number_max) return error.UnexpectedToken;
                return .{ .text = try std.fmt.allocPrint(allocator, "{d}", .{@as(u64, @trunc(number))}) };
            },
            else => return error.UnexpectedToken,
        }
    }
};

const Open = struct { opening: Cents };
const Bid = struct { bidder: Name, amount: Cents, opening: ?Cents = null };
const Outbid = struct { bidder: Name, most: Cents };
/// What a command stores: the fields in this order.
const Placed = struct { bidder: []const u8, amount: Cents };

const Auction = struct {
    pub const name = "auction";
    pub const version = "1.0.0";
    pub const kinds = [_]atomic_store.Kind{
        .{ .name = "open", .schema =
        \\{"type":"object","required":["opening"],"properties":{"opening":{"type":["number","string"]}}}
        },
        .{ .name = "bid", .schema =
        \\{"type":"object","required":["bidder","amount"],"properties":{"bidder":{"type":["string","number"]},"amount":{"type":["number","string"]},"opening":{"type":["number","string"]}}}
        },
        .{ .name = "outbid", .schema =
        \\{"type":"object","required":["bidder","most"],"properties":{"bidder":{"type":["string","number"]},"most":{"type":["number","string"]}}}
        },
        .{ .name = "close" },
    };

    pub const Config = struct { increment: Cents = .{ .value = 1 } };

    const Highest = struct { amount: Cents, bidder: []const u8, seq: u64 };

    /// What the rules need to know of the past.
    pub const State = struct {
        increment: Cents,
        opening: ?Cents = null,
        highest: ?Highest = null,
        closed: ?u64 = null,
    };

    pub fn init(_: Allocator, _: []const u8, config: Config) Error!atomic_store.Start(State) {
        return .{ .state = .{ .increment = .{ .value = @max(1, config.increment.value) } } };
    }

    pub fn apply(state: *State, keep: Allocator, call: Allocator, event: *const atomic_store.Event) Error!void {
        if (is(event.kind, "open")) {
            const open = try event.json(Open, call);
            state.opening = state.opening orelse open.opening;
        } else if (is(event.kind, "bid")) {
            const bid = try event.json(Bid, call);
            state.opening = state.opening orelse bid.opening;
            state.highest = .{ .amount = bid.amount, .bidder = try keep.dupe(u8, bid.bidder.text), .seq = event.seq };
        } else if (is(event.kind, "close")) {
            state.closed = event.seq;
        }
    }

    pub fn validate(state: *const State, call: Allocator, proposal: *const atomic_store.Proposal) Error!atomic_store.Verdict {
        if (state.closed) |seq| {
            const seqs = try call.dupe(u64, &.{seq});
            return atomic_store.rejectWith(call, .{ .code = "closed", .message = "the auction is closed", .seqs = seqs });
        }
        if (is(proposal.kind, "open")) {
            _ = proposal.json(Open, call) catch |err|
                return malformed(err, call, proposal, "{\"opening\": \"95.00\"}");
            if (state.opening == null and state.highest == null) return atomic_store.accept;
            return atomic_store.reject(call, "already-open", "the opening bid is already fixed", .{});
        }
        if (is(proposal.kind, "bid")) {
            const bid = proposal.json(Bid, call) catch |err|
                return malformed(err, call, proposal, "{\"bidder\": \"ann\", \"amount\": \"95.50\"}");
            return check(state, call, bid.amount, state.opening orelse bid.opening);
        }
        if (is(proposal.kind, "outbid")) {
            const command = proposal.json(Outbid, call) catch |err|
                return malformed(err, call, proposal, "{\"bidder\": \"ann\", \"most\": \"120.00\"}");
            return outbid(state, call, command);
        }
        if (is(proposal.kind, "close")) {
            const highest = state.highest orelse return .{ .accept = .{ .reason = "nobody bid" } };
            const reason = try atomic_store.print(call, "sold to {s} for {f}", .{ highest.bidder, highest.amount });
            return .{ .accept = .{ .reason = reason } };
        }
        return proposal.unknownKind(call);
    }

    pub fn query(state: *const State, call: Allocator, asked: []const u8, _: []const u8) Error!atomic_store.Answer {
        if (is(asked, "highest")) return .{ .found = try atomic_store.toJson(call, state.highest) };
        return .{ .no = try atomic_store.print(call, "the auction has no query \"{s}\", but \"highest\"", .{asked}) };
    }

    /// Bids the least that is enough, if that is not more than the most.
    fn outbid(state: *const State, call: Allocator, command: Outbid) Error!atomic_store.Verdict {
        const checked = try check(state, call, command.most, state.opening);
        if (checked == .reject) return checked;
        const opening = if (state.opening) |opening| opening.value else 0;
        const over = if (state.highest) |highest| highest.amount.value + state.increment.value else 0;
        const json = try atomic_store.toJson(call, Placed{
            .bidder = command.bidder.text,
            .amount = .{ .value = @max(opening, over) },
        });
        const events = try call.dupe(atomic_store.NewEvent, &.{.{ .kind = "bid", .payload = json }});
        return .{ .accept = .{ .instead = events, .meta = json } };
    }

    /// Refuses an amount that is not enough.
    fn check(state: *const State, call: Allocator, amount: Cents, opening: ?Cents) Error!atomic_store.Verdict {
        const from = opening orelse Cents{ .value = 0 };
        if (amount.value < from.value) {
            return atomic_store.reject(call, "below-opening", "the opening bid is {f}", .{from});
        }
        const highest = state.highest orelse return atomic_store.accept;
        const least: Cents = .{ .value = highest.amount.value + state.increment.value };
        if (amount.value >= least.value) return atomic_store.accept;
        return atomic_store.rejectWith(call, .{
            .code = "too-low",
            .message = try atomic_store.print(call, "the highest bid is {f}; bid at least {f}", .{ highest.amount, least }),
            .data = try atomic_store.toJson(call, .{ .least = least }),
            .seqs = try call.dupe(u64, &.{highest.seq}),
        });
    }

    fn malformed(err: Error, call: Allocator, proposal: *const atomic_store.Proposal, example: []const u8) Error!atomic_store.Verdict {
        if (err == error.OutOfMemory) return err;
        return atomic_store.reject(
            call,
            "malformed",
            "the payload of \"{s}\" is malformed; it is like {s}, with amounts from 0 to 9999999999.99 and at most two decimals",
            .{ proposal.kind, example },
        );
    }
};

fn is(text: []const u8, word: []const u8) bool {
    return std.mem.eql(u8, text, word);
}

const Scope = atomic_store.testing.Scope(Auction);

test "a bid must beat the highest" {
    var auction: Scope = try .init(null);
    defer auction.deinit();
    try auction.accepted("bid",
        \\{"bidder":"jake","amount":95.00,"opening":95}
    );
    try auction.rejected("below-opening", "bid",
        \\{"bidder":"dave","amount":"94.99"}
    );
    try auction.accepted("bid",
        \\{"bidder":"dave","amount":"115"}
    );
    try auction.rejected("too-low", "bid",
        \\{"bidder":"glad","amount":115}
    );
    try auction.answers("{\"amount\":\"115.00\",\"bidder\":\"dave\",\"seq\":2}", "highest");
    try auction.accepted("close", "");
    try auction.rejected("closed", "close", "");
}

test "a batch sees its earlier members, and commands become bids" {
    var auction: Scope = try .init("{\"increment\":\"0.50\"}");
    defer auction.deinit();
    const outbid: atomic_store.Proposal = .{ .kind = "outbid", .payload = "{\"bidder\":7,\"most\":1}" };
    const judgement = try auction.proposeAll(&.{ outbid, outbid, outbid, outbid });
    try std.testing.expectEqual(3, judgement.rejected.index);
    _ = try auction.proposeAll(&.{ outbid, outbid });
    try auction.answers("{\"amount\":\"0.50\",\"bidder\":\"7\",\"seq\":2}", "highest");
}

test "a state that is written over and over stays small" {
    var auction: Scope = try .init(null);
    defer auction.deinit();
    for (1..2000) |cents| {
        const payload = try std.fmt.allocPrint(auction.arena.allocator(), "{{\"bidder\":\"{s}\",\"amount\":{d}}}", .{ @as([500]u8, @splat('x')), cents });
        try auction.accepted("bid", payload);
    }
    try std.testing.expect(auction.folded.place.queryCapacity() < 64 * 1024);
}

test "configurations that are declined" {
    for ([_][]const u8{ "", "null", "{\"step\":1}", "{\"increment\":\"0.005\"}", "\xff" }) |config| {
        try std.testing.expectError(error.Declined, Scope.init(config));
    }
}
