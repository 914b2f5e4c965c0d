#include "atomic_store_test.h"

int main(void) {
    as_scope *flight = as_scope_new(NULL);
    AS_ACCEPTED(flight, "reserve", "{\"seat\":\"4A\"}");
    AS_REJECTED(flight, "taken", "reserve", "{\"seat\":\"4A\"}");
    AS_ACCEPTED(flight, "reserve", "{\"seat\":\"4B\"}");
    AS_REJECTED(flight, "malformed", "reserve", "{\"seat\":4}");
    AS_REJECTED(flight, "unknown-kind", "land", "{}");

    size_t index;
    const char *both[] = { "reserve", "{\"seat\":\"5A\"}", "reserve", "{\"seat\":\"5A\"}" };
    as_check_same(as_propose_all(flight, both, 2, &index), "taken", AS_WHERE);
    AS_CHECK(index == 1);
    AS_ACCEPTED(flight, "reserve", "{\"seat\":\"5A\"}");
    as_scope_free(flight);
    return 0;
}
