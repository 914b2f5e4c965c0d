#define _GNU_SOURCE     /* getentropy and clock_gettime are no C11 */
/* Rules as nobody should write them: they read the clock and draw random numbers, which WASI's C library has.
 * Built for tests of the store. */
#include "atomic_store.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static as_text look(void) {
    static const char hex[] = "0123456789abcdef";
    uint8_t random[8];
    char text[16];
    struct timespec now;
    if (getentropy(random, sizeof random) || clock_gettime(CLOCK_REALTIME, &now)) abort();
    for (size_t i = 0; i < 8; i++) {
        text[2 * i] = hex[random[i] >> 4];
        text[2 * i + 1] = hex[random[i] & 15];
    }
    uint64_t ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    return AS_CONCAT(as_decimal(ms), AS(" "), (as_text){ text, 16 });
}

static void *init(as_text scope, const as_bytes *config, as_text *why_not) {
    (void)scope, (void)config, (void)why_not;
    as_text *seen = malloc(sizeof *seen);
    if (seen) *seen = as_keep(AS(""));
    return seen;
}

static void drop(void *state) {
    as_text *seen = state;
    free((void *)seen->at);
    free(seen);
}

static void apply(void *state, const as_event *event) {
    as_text *seen = state, kept = as_keep(look());
    (void)event;
    free((void *)seen->at);
    *seen = kept;
}

static as_verdict validate(const void *state, const as_proposal *proposal) {
    (void)state, (void)proposal;
    return as_with_reason(as_accept(), look());
}

static void save(const void *state, as_writer *to) {
    const as_text *seen = state;
    as_put_text(to, *seen);
}

static void *load(as_reader *from) {
    as_text *seen = malloc(sizeof *seen);
    if (seen) *seen = as_keep(as_get_text(from));
    return seen;
}

static bool query(const void *state, as_text name, as_bytes args, as_text *answer, as_text *why_not) {
    (void)state, (void)name, (void)args, (void)why_not;
    *answer = as_json_quote(look());
    return true;
}

AS_VALIDATOR(.name = "restless", .version = "1.0.0", .init = init, .drop = drop, .apply = apply,
             .validate = validate, .save = save, .load = load, .query = query);
