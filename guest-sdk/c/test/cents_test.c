/* Older events, tested natively. */
#include "atomic_store_test.h"

int main(void) {
    as_scope *cents = as_scope_new(NULL);
    as_given(cents, "euros", "3");
    as_given(cents, "cents", "7");
    AS_ANSWERS(cents, "307", "sum");

    size_t index;
    const char *both[] = { "euros", "2", "euros", "2" };
    as_check_same(as_propose_all(cents, both, 2, &index), "full", AS_WHERE);
    AS_CHECK(index == 1);
    AS_ACCEPTED(cents, "euros", "2");
    AS_ANSWERS(cents, "507", "sum");
    as_events stored = as_history_read(2, 1);
    AS_CHECK(stored.len == 1 && as_is(stored.at[0].kind, "euros"));
    as_scope_free(cents);
    return 0;
}
