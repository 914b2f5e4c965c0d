/* Seats of a flight: each is taken once. */
#include "atomic_store.h"

#include <stdlib.h>

typedef struct { as_text name; uint64_t seq; } seat;
typedef struct { seat *taken; size_t count; } state;

static void *init(as_text scope, const as_bytes *config, as_text *why_not) {
    (void)scope;
    if (config) {
        *why_not = AS("these rules take no configuration");
        return NULL;
    }
    return calloc(1, sizeof(state));
}

static void drop(void *of) {
    state *s = of;
    for (size_t i = 0; i < s->count; i++) free((void *)s->taken[i].name.at);
    free(s->taken);
    free(s);
}

static void take(state *s, as_text name, uint64_t seq) {
    s->taken = realloc(s->taken, (s->count + 1) * sizeof *s->taken);
    if (!s->taken) abort();
    s->taken[s->count++] = (seat){ as_keep(name), seq };
}

/* {"seat": "4A"} */
static bool read(as_bytes payload, as_text *name) {
    as_json object;
    return as_json_parse(payload, &object) && as_json_text(as_json_get(object, "seat"), name);
}

static void apply(void *of, const as_event *event) {
    as_text name;
    if (as_is(event->kind, "reserve") && read(event->payload, &name)) take(of, name, event->seq);
}

static as_verdict validate(const void *of, const as_proposal *proposal) {
    const state *s = of;
    as_text name;
    if (!as_is(proposal->kind, "reserve")) return as_unknown_kind(proposal);
    if (!read(proposal->payload, &name)) {
        return as_reject("malformed", AS("a reservation is like {\"seat\": \"4A\"}"));
    }
    for (size_t i = 0; i < s->count; i++) {
        if (!as_same(s->taken[i].name, name)) continue;
        as_verdict no = as_reject("taken", AS_CONCAT(AS("seat "), name, AS(" is taken")));
        return as_with_seq(no, s->taken[i].seq);
    }
    return as_accept();
}

static void save(const void *of, as_writer *to) {
    const state *s = of;
    as_put_u64(to, s->count);
    for (size_t i = 0; i < s->count; i++) {
        as_put_text(to, s->taken[i].name);
        as_put_u64(to, s->taken[i].seq);
    }
}

static void *load(as_reader *from) {
    state *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    for (uint64_t count = as_get_u64(from); count && !from->failed; count--) {
        as_text name = as_get_text(from);
        take(s, name, as_get_u64(from));
    }
    return s;
}

/* For people and tools; `check` takes the examples to try the rules out. */
#define SEAT "{\"type\":\"string\",\"examples\":[\"1A\",\"4A\",\"4B\",\"12C\"]}"
static const as_kind kinds[] = {
    { "reserve", "{\"type\":\"object\",\"required\":[\"seat\"],\"properties\":{\"seat\":" SEAT "}}" },
};

AS_VALIDATOR(
    .name = "seats", .version = "1.0.0", .kinds = kinds, .kinds_len = 1,
    .init = init, .drop = drop, .apply = apply, .validate = validate, .save = save, .load = load);
