/* Tests of rules without WebAssembly and without a store: compile atomic_store.c, atomic_store_test.c,
 * your rules and your test natively, and run that.
 *
 * Every step goes through two instances, one that only folds and one that is restored from its own
 * snapshot. They must answer the same, twice, and answering must change neither. So each test of the
 * rules also tests that they are deterministic, and their snapshots. What fails ends the program with a
 * line that says where. */
#ifndef ATOMIC_STORE_TEST_H
#define ATOMIC_STORE_TEST_H

#include "atomic_store.h"

/* A scope in memory. */
typedef struct as_scope as_scope;

/* An empty scope; NULL if the rules decline. `config` may be NULL. */
as_scope *as_scope_new(const char *config);
void as_scope_free(as_scope *scope);
/* The store's time of what follows. */
void as_scope_at(as_scope *scope, uint64_t host_ms);

/* Proposes one event and folds what it becomes. NULL if it was accepted, otherwise the code. */
const char *as_propose(as_scope *scope, const char *kind, const char *json);
/* Proposes several in one append: kind, JSON, kind, JSON. `index` is where it was rejected. */
const char *as_propose_all(as_scope *scope, const char *const *pairs, size_t count, size_t *index);
/* The message of the last rejection. */
const char *as_last_message(const as_scope *scope);
/* Folds an event that is there already. */
void as_given(as_scope *scope, const char *kind, const char *json);
/* The answer to a query, or NULL. */
const char *as_ask(as_scope *scope, const char *name);

#define AS_STRING_(x) #x
#define AS_STRING(x) AS_STRING_(x)
#define AS_WHERE __FILE__ ":" AS_STRING(__LINE__) ": "
/* Ends the program unless it holds. */
#define AS_CHECK(holds) as_check((holds), AS_WHERE #holds)
#define AS_ACCEPTED(scope, kind, json) as_check_same(as_propose(scope, kind, json), NULL, AS_WHERE)
#define AS_REJECTED(scope, code, kind, json) as_check_same(as_propose(scope, kind, json), code, AS_WHERE)
#define AS_ANSWERS(scope, answer, name) as_check_same(as_ask(scope, name), answer, AS_WHERE)
void as_check(bool holds, const char *what);
void as_check_same(const char *found, const char *wanted, const char *where);

#endif
