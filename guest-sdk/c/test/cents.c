/* Rules whose events have changed their form: what was `euros` is a hundred `cents` today. They are tested by
 * cents_test.c, and built for tests of the store. */
#include "atomic_store.h"

#include <stdlib.h>

static bool number_of(as_bytes payload, uint64_t *number) {
    as_json json;
    return as_json_parse(payload, &json) && as_json_u64(json, number);
}

static void *init(as_text scope, const as_bytes *config, as_text *why_not) {
    (void)scope;
    *why_not = AS("there is nothing to configure");
    return config ? NULL : calloc(1, sizeof(uint64_t));
}

static bool upcast(const as_event *event, as_new_event *newer) {
    uint64_t euros;
    if (!as_is(event->kind, "euros") || !number_of(event->payload, &euros)) return false;
    *newer = as_json_event("cents", as_decimal(euros * 100));
    newer->keys = event->keys;
    return true;
}

static void apply(void *state, const as_event *event) {
    uint64_t cents, *sum = state;
    if (!as_is(event->kind, "cents")) abort();      /* it sees the newer form only */
    if (number_of(event->payload, &cents)) *sum += cents;
}

static as_verdict validate(const void *state, const as_proposal *proposal) {
    const uint64_t *sum = state;
    uint64_t number;
    if (!number_of(proposal->payload, &number)) return as_reject("malformed", AS("how many?"));
    return *sum > 500 ? as_reject("full", AS("more than 500 cents")) : as_accept();
}

static void save(const void *state, as_writer *to) {
    const uint64_t *sum = state;
    as_put_u64(to, *sum);
}

static void *load(as_reader *from) {
    uint64_t *sum = malloc(sizeof *sum);
    if (sum) *sum = as_get_u64(from);
    return sum;
}

static bool query(const void *state, as_text name, as_bytes args, as_text *answer, as_text *why_not) {
    const uint64_t *sum = state;
    (void)name, (void)args, (void)why_not;
    *answer = as_decimal(*sum);
    return true;
}

AS_VALIDATOR(.name = "cents", .version = "2.0.0", .init = init, .drop = free, .upcast = upcast, .apply = apply,
             .validate = validate, .save = save, .load = load, .query = query);
AS_UPCASTS;
