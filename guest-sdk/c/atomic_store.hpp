// Validators for Atomic Store in C++17: a thin layer over atomic_store.h. Compile atomic_store.c, as C,
// with yours; -fno-exceptions is right, because nothing catches one in the sandbox.
//
//     struct Seats {
//         static constexpr const char *name = "seats", *version = "1.0.0";
//         struct State { std::map<std::string, std::uint64_t> taken; };
//         static std::optional<State> init(std::string_view scope, std::optional<std::string_view> config,
//                                          std::string &why_not);
//         static void apply(State &state, const as_event &event);
//         static Verdict validate(const State &state, const as_proposal &proposal);
//         static void save(const State &state, Writer &to);
//         static State load(Reader &from);
//     };
//     ATOMIC_STORE_VALIDATOR(Seats)
//
// Optional: `static std::vector<as_kind> kinds()` and `static std::optional<std::string> query(const State &,
// std::string_view name, std::string_view args, std::string &why_not)`.
#ifndef ATOMIC_STORE_HPP
#define ATOMIC_STORE_HPP

#include "atomic_store.h"

#include <cstring>
#include <initializer_list>
#include <map>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace atomic_store {

inline std::string_view view(as_text text) { return { text.at, text.len }; }
inline std::string_view view(as_bytes bytes) { return { reinterpret_cast<const char *>(bytes.at), bytes.len }; }
inline as_text text(std::string_view view) { return { view.data(), view.size() }; }
inline as_bytes bytes(std::string_view view) { return as_bytes_of(text(view)); }

/// A copy that lives until the call ends.
inline as_text hold(std::string_view view) {
    as_text part = text(view);
    return as_concat(&part, 1);
}

/// An event to store in place of a proposal.
struct NewEvent {
    std::string kind, payload, content_type = "application/json";
};

/// The answer to one proposal.
class Verdict {
public:
    Verdict(as_verdict verdict) : verdict_(verdict) {}
    Verdict &because(std::string_view sentence) { return set(as_with_reason(verdict_, hold(sentence))); }
    Verdict &meta(std::string_view data) { return set(as_with_meta(verdict_, as_bytes_of(hold(data)))); }
    Verdict &data(std::string_view data) { return set(as_with_data(verdict_, as_bytes_of(hold(data)))); }
    Verdict &seq(std::uint64_t seq) { return set(as_with_seq(verdict_, seq)); }
    Verdict &and_reject(const char *code, std::string_view message) {
        return set(as_and_reject(verdict_, code, hold(message)));
    }
    bool accepted() const { return verdict_.accepted; }
    operator as_verdict() const { return verdict_; }

private:
    Verdict &set(as_verdict verdict) {
        verdict_ = verdict;
        return *this;
    }
    as_verdict verdict_;
};

inline Verdict accept() { return as_accept(); }
inline Verdict reject(const char *code, std::string_view message) { return as_reject(code, hold(message)); }
inline Verdict unknown_kind(const as_proposal &proposal) { return as_unknown_kind(&proposal); }

inline Verdict accept_instead(const std::vector<NewEvent> &events) {
    auto *out = static_cast<as_new_event *>(as_alloc(events.size() * sizeof(as_new_event) + 1));
    for (std::size_t i = 0; i < events.size(); i++) {
        out[i].kind = hold(events[i].kind);
        out[i].content_type = hold(events[i].content_type);
        out[i].payload = as_bytes_of(hold(events[i].payload));
    }
    return as_accept_instead(out, events.size());
}

/// A JSON value, read where it stands.
class Json {
public:
    explicit Json(as_json value = {}) : value_(value) {}
    /// Nothing if the bytes are not one JSON value.
    static std::optional<Json> parse(std::string_view from) {
        as_json value;
        if (!as_json_parse(bytes(from), &value)) return std::nullopt;
        return Json(value);
    }
    as_json_type type() const { return value_.type; }
    bool is_object() const { return value_.type == AS_JSON_OBJECT; }
    bool missing() const { return value_.type == AS_JSON_NONE; }
    bool null() const { return value_.type == AS_JSON_NULL; }
    Json operator[](const char *name) const { return Json(as_json_get(value_, name)); }
    Json at(std::size_t index) const { return Json(as_json_at(value_, index)); }
    std::optional<std::string_view> text() const {
        as_text found;
        return as_json_text(value_, &found) ? std::optional(view(found)) : std::nullopt;
    }
    std::optional<double> number() const {
        double found;
        return as_json_double(value_, &found) ? std::optional(found) : std::nullopt;
    }
    std::optional<std::uint64_t> u64() const {
        std::uint64_t found;
        return as_json_u64(value_, &found) ? std::optional(found) : std::nullopt;
    }
    std::optional<bool> boolean() const {
        bool found;
        return as_json_bool(value_, &found) ? std::optional(found) : std::nullopt;
    }
    /// Calls `each(name, value)` for the fields of an object.
    template <class Each> void fields(Each each) const {
        as_text name;
        as_json value;
        for (std::size_t place = 0; as_json_next(value_, &place, &name, &value);) each(view(name), Json(value));
    }

private:
    as_json value_;
};

/// A text as JSON, with its quotes.
inline std::string quote(std::string_view unquoted) { return std::string(view(as_json_quote(text(unquoted)))); }

/// Writes a state.
class Writer {
public:
    explicit Writer(as_writer *to) : to_(to) {}
    void u64(std::uint64_t number) { as_put_u64(to_, number); }
    void boolean(bool value) { as_put_bool(to_, value); }
    void text(std::string_view value) { as_put_text(to_, atomic_store::text(value)); }

private:
    as_writer *to_;
};

/// Reads a state; zeros after the end, and the snapshot is then declined.
class Reader {
public:
    explicit Reader(as_reader *from) : from_(from) {}
    std::uint64_t u64() { return as_get_u64(from_); }
    bool boolean() { return as_get_bool(from_); }
    std::string text() { return std::string(view(as_get_text(from_))); }
    /// True until something was missing; the condition of a loop over a count that was read.
    bool good() const { return !from_->failed; }

private:
    as_reader *from_;
};

namespace detail {

template <class R, class = void> struct has_kinds : std::false_type {};
template <class R> struct has_kinds<R, std::void_t<decltype(R::kinds())>> : std::true_type {};
template <class R, class = void> struct has_query : std::false_type {};
template <class R> struct has_query<R, std::void_t<decltype(&R::query)>> : std::true_type {};

/// The functions of the table in C.
template <class R> struct Table {
    using State = typename R::State;

    static State &of(void *state) { return *static_cast<State *>(state); }
    static const State &of(const void *state) { return *static_cast<const State *>(state); }

    static void *init(as_text scope, const as_bytes *config, as_text *why_not) {
        std::string why;
        std::optional<std::string_view> given;
        if (config) given = view(*config);
        std::optional<State> state = R::init(view(scope), given, why);
        if (state) return new State(std::move(*state));
        *why_not = hold(why);
        return nullptr;
    }
    static void drop(void *state) { delete static_cast<State *>(state); }
    static void apply(void *state, const as_event *event) { R::apply(of(state), *event); }
    static as_verdict validate(const void *state, const as_proposal *proposal) {
        return R::validate(of(state), *proposal);
    }
    static void save(const void *state, as_writer *to) {
        Writer writer(to);
        R::save(of(state), writer);
    }
    static void *load(as_reader *from) {
        Reader reader(from);
        return new State(R::load(reader));
    }
    static bool query(const void *state, as_text name, as_bytes args, as_text *answer, as_text *why_not) {
        if constexpr (has_query<R>::value) {
            std::string why;
            std::optional<std::string> found = R::query(of(state), view(name), view(args), why);
            if (found) *answer = hold(*found);
            if (!found) *why_not = hold(why);
            return found.has_value();
        } else {
            (void)state, (void)name, (void)args, (void)answer, (void)why_not;
            return false;
        }
    }
    static as_rules rules() {
        as_rules table{};
        table.name = R::name;
        table.version = R::version;
        if constexpr (has_kinds<R>::value) {
            static const std::vector<as_kind> kinds = R::kinds();
            table.kinds = kinds.data();
            table.kinds_len = kinds.size();
        }
        table.init = init;
        table.drop = drop;
        table.apply = apply;
        table.validate = validate;
        table.save = save;
        table.load = load;
        if (has_query<R>::value) table.query = query;
        return table;
    }
};

}  // namespace detail
}  // namespace atomic_store

/// Makes the rules what the store loads; once.
#define ATOMIC_STORE_VALIDATOR(Rules) \
    extern "C" const as_rules as_validator = atomic_store::detail::Table<Rules>::rules();

#endif
