// An English auction. examples/auction says what its rules are; these are the same, in C++.
#include "atomic_store.hpp"

#include <algorithm>
#include <cmath>

using namespace atomic_store;

namespace {

/// An amount of money in cents.
using Cents = std::uint64_t;

std::optional<Cents> digits(std::string_view text, std::size_t most) {
    if (text.empty() || text.size() > most) return std::nullopt;
    Cents sum = 0;
    for (char digit : text) {
        if (digit < '0' || digit > '9') return std::nullopt;
        sum = sum * 10 + static_cast<Cents>(digit - '0');
    }
    return sum;
}

/// Up to ten digits, and up to two more behind a point.
std::optional<Cents> parse(std::string_view text) {
    std::size_t point = text.find('.');
    std::string_view part = point == text.npos ? "0" : text.substr(point + 1);
    auto whole = digits(text.substr(0, point), 10), cents = digits(part, 2);
    if (!whole || !cents) return std::nullopt;
    return *whole * 100 + *cents * (part.size() == 1 ? 10 : 1);
}

std::optional<Cents> read_cents(Json value) {
    if (auto text = value.text()) return parse(*text);
    auto number = value.number();
    if (!number) return std::nullopt;
    double cents = std::round(*number * 100.0);
    // Division rounds correctly, so exactly the numbers written with two decimals come back.
    if (cents / 100.0 != *number || cents < 0 || cents > 999999999999.0) return std::nullopt;
    return static_cast<Cents>(cents);
}

/// Text, or a whole number that every language reads exactly.
std::optional<std::string> read_name(Json value) {
    if (auto text = value.text()) return std::string(*text);
    auto number = value.number();
    if (!number || *number != std::trunc(*number) || *number < 0 || *number > 9007199254740991.0) {
        return std::nullopt;
    }
    return std::to_string(static_cast<std::uint64_t>(*number));
}

std::string show(Cents amount) {
    return std::to_string(amount / 100) + "." + std::to_string(amount / 10 % 10) + std::to_string(amount % 10);
}

struct Highest {
    Cents amount;
    std::string bidder;
    std::uint64_t seq;
};

/// A bid, or a command: the amount is then the most.
struct Bid {
    std::string bidder;
    Cents amount;
    std::optional<Cents> opening;
};

std::optional<Cents> read_open(as_bytes payload) {
    auto object = Json::parse(view(payload));
    return object && object->is_object() ? read_cents((*object)["opening"]) : std::nullopt;
}

std::optional<Bid> read_bid(as_bytes payload, const char *amount, bool may_open) {
    auto object = Json::parse(view(payload));
    if (!object || !object->is_object()) return std::nullopt;
    auto bidder = read_name((*object)["bidder"]);
    auto cents = read_cents((*object)[amount]);
    if (!bidder || !cents) return std::nullopt;
    Bid bid{ std::move(*bidder), *cents, std::nullopt };
    Json opening = (*object)["opening"];
    if (!may_open || opening.missing() || opening.null()) return bid;
    bid.opening = read_cents(opening);
    if (!bid.opening) return std::nullopt;
    return bid;
}

Verdict malformed(const as_proposal &proposal, std::string_view example) {
    std::string message = "the payload of \"" + std::string(view(proposal.kind)) + "\" is malformed; it is like ";
    message.append(example).append(", with amounts from 0 to 9999999999.99 and at most two decimals");
    return reject("malformed", message);
}

struct Auction {
    static constexpr const char *name = "auction", *version = "1.0.0";

    struct State {
        Cents increment = 1;
        std::optional<Cents> opening;
        std::optional<Highest> highest;
        std::optional<std::uint64_t> closed;

        Cents least() const { return highest ? highest->amount + increment : 0; }
    };

    static std::vector<as_kind> kinds() {
#define AMOUNT "{\"type\":[\"number\",\"string\"]}"
#define NAME "{\"type\":[\"string\",\"number\"]}"
        return {
            { "open", "{\"type\":\"object\",\"required\":[\"opening\"],\"properties\":{\"opening\":" AMOUNT "}}" },
            { "bid", "{\"type\":\"object\",\"required\":[\"bidder\",\"amount\"],\"properties\":{\"bidder\":" NAME
                     ",\"amount\":" AMOUNT ",\"opening\":" AMOUNT "}}" },
            { "outbid", "{\"type\":\"object\",\"required\":[\"bidder\",\"most\"],\"properties\":{\"bidder\":" NAME
                        ",\"most\":" AMOUNT "}}" },
            { "close", nullptr },
        };
    }

    static std::optional<State> init(std::string_view, std::optional<std::string_view> config, std::string &why_not) {
        State state;
        if (!config) return state;
        why_not = "the configuration of auction is wrong: it is like {\"increment\": \"0.50\"}";
        auto object = Json::parse(*config);
        bool good = object && object->is_object();
        if (good) {
            object->fields([&](std::string_view field, Json value) {
                auto increment = read_cents(value);
                good = good && field == "increment" && increment;
                if (increment) state.increment = std::max<Cents>(1, *increment);
            });
        }
        return good ? std::optional(state) : std::nullopt;
    }

    static void apply(State &state, const as_event &event) {
        auto kind = view(event.kind);
        if (kind == "open") {
            if (!state.opening) state.opening = read_open(event.payload);
        } else if (kind == "bid") {
            auto bid = read_bid(event.payload, "amount", true);
            if (!bid) return;
            if (!state.opening) state.opening = bid->opening;
            state.highest = Highest{ bid->amount, std::move(bid->bidder), event.seq };
        } else if (kind == "close") {
            state.closed = event.seq;
        }
    }

    static Verdict validate(const State &state, const as_proposal &proposal) {
        auto kind = view(proposal.kind);
        if (state.closed) return reject("closed", "the auction is closed").seq(*state.closed);
        if (kind == "open") {
            if (!read_open(proposal.payload)) return malformed(proposal, "{\"opening\": \"95.00\"}");
            if (state.opening || state.highest) return reject("already-open", "the opening bid is already fixed");
            return accept();
        }
        if (kind == "bid") {
            auto bid = read_bid(proposal.payload, "amount", true);
            if (!bid) return malformed(proposal, "{\"bidder\": \"ann\", \"amount\": \"95.50\"}");
            return check(state, bid->amount, state.opening ? state.opening : bid->opening);
        }
        if (kind == "outbid") {
            auto command = read_bid(proposal.payload, "most", false);
            if (!command) return malformed(proposal, "{\"bidder\": \"ann\", \"most\": \"120.00\"}");
            return outbid(state, *command);
        }
        if (kind == "close") {
            if (!state.highest) return accept().because("nobody bid");
            return accept().because("sold to " + state.highest->bidder + " for " + show(state.highest->amount));
        }
        return unknown_kind(proposal);
    }

    static std::optional<std::string> query(const State &state, std::string_view asked, std::string_view,
                                            std::string &why_not) {
        if (asked != "highest") {
            why_not = "the auction has no query \"" + std::string(asked) + "\", but \"highest\"";
            return std::nullopt;
        }
        if (!state.highest) return "null";
        return "{\"amount\":\"" + show(state.highest->amount) + "\",\"bidder\":" + quote(state.highest->bidder) +
               ",\"seq\":" + std::to_string(state.highest->seq) + "}";
    }

    static void save(const State &state, Writer &to) {
        to.u64(state.increment);
        to.boolean(state.opening.has_value());
        to.u64(state.opening.value_or(0));
        to.boolean(state.highest.has_value());
        if (state.highest) {
            to.u64(state.highest->amount);
            to.text(state.highest->bidder);
            to.u64(state.highest->seq);
        }
        to.boolean(state.closed.has_value());
        to.u64(state.closed.value_or(0));
    }

    static State load(Reader &from) {
        State state;
        state.increment = from.u64();
        bool opened = from.boolean();
        Cents opening = from.u64();
        if (opened) state.opening = opening;
        if (from.boolean()) {
            Cents amount = from.u64();
            std::string bidder = from.text();
            state.highest = Highest{ amount, std::move(bidder), from.u64() };
        }
        bool closed = from.boolean();
        std::uint64_t seq = from.u64();
        if (closed) state.closed = seq;
        return state;
    }

private:
    /// Bids the least that is enough, if that is not more than the most.
    static Verdict outbid(const State &state, const Bid &command) {
        Verdict checked = check(state, command.amount, state.opening);
        if (!checked.accepted()) return checked;
        Cents least = std::max(state.least(), state.opening.value_or(0));
        std::string json = "{\"bidder\":" + quote(command.bidder) + ",\"amount\":\"" + show(least) + "\"}";
        return accept_instead({ { "bid", json } }).meta(json);
    }

    /// Refuses an amount that is not enough.
    static Verdict check(const State &state, Cents amount, std::optional<Cents> opening) {
        if (amount < opening.value_or(0)) return reject("below-opening", "the opening bid is " + show(*opening));
        if (amount >= state.least()) return accept();
        std::string least = show(state.least());
        return reject("too-low", "the highest bid is " + show(state.highest->amount) + "; bid at least " + least)
            .seq(state.highest->seq)
            .data("{\"least\":\"" + least + "\"}");
    }
};

}  // namespace

ATOMIC_STORE_VALIDATOR(Auction)
