// Seats of a flight: each is taken once.
#include "atomic_store.hpp"

#include <map>

using namespace atomic_store;

namespace {

/// {"seat": "4A"}
std::optional<std::string> read(as_bytes payload) {
    auto object = Json::parse(view(payload));
    auto seat = object ? (*object)["seat"].text() : std::nullopt;
    return seat ? std::optional(std::string(*seat)) : std::nullopt;
}

struct Rules {
    static constexpr const char *name = "seats", *version = "1.0.0";

    /// Which event took which seat.
    struct State {
        std::map<std::string, std::uint64_t> taken;
    };

    // For people and tools; `check` takes the examples to try the rules out.
    static std::vector<as_kind> kinds() {
        return { { "reserve",
            R"({"type":"object","required":["seat"],"properties":{"seat":{"type":"string","examples":["1A","4A","4B","12C"]}}})" } };
    }

    static std::optional<State> init(std::string_view, std::optional<std::string_view> config, std::string &why_not) {
        if (!config) return State{};
        why_not = "these rules take no configuration";
        return std::nullopt;
    }

    static void apply(State &state, const as_event &event) {
        if (view(event.kind) != "reserve") return;
        if (auto seat = read(event.payload)) state.taken[*seat] = event.seq;
    }

    static Verdict validate(const State &state, const as_proposal &proposal) {
        if (view(proposal.kind) != "reserve") return unknown_kind(proposal);
        auto seat = read(proposal.payload);
        if (!seat) return reject("malformed", "a reservation is like {\"seat\": \"4A\"}");
        auto taken = state.taken.find(*seat);
        if (taken == state.taken.end()) return accept();
        return reject("taken", "seat " + *seat + " is taken").seq(taken->second);
    }

    static void save(const State &state, Writer &to) {
        to.u64(state.taken.size());
        for (const auto &[seat, seq] : state.taken) {
            to.text(seat);
            to.u64(seq);
        }
    }

    static State load(Reader &from) {
        State state;
        for (std::uint64_t count = from.u64(); count && from.good(); count--) {
            std::string seat = from.text();
            state.taken[seat] = from.u64();
        }
        return state;
    }
};

} // namespace

ATOMIC_STORE_VALIDATOR(Rules)
