#include "atomic_store_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct as_scope {
    as_instance *folded;
    as_bytes config;
    bool configured;
    uint64_t head, host_ms;
    char code[65], message[1025], answer[65536];
};

static const as_text test_scope = { "test/1", 6 };

/* The events of the scope whose test ran last, with texts of their own. */
static as_event *past;
static size_t past_len;

uint64_t as_history_head(void) { return past_len; }

as_events as_history_read(uint64_t after, uint32_t limit) {
    if (after >= past_len) return (as_events){ NULL, 0 };
    size_t rest = past_len - (size_t)after;
    return (as_events){ past + after, rest < limit ? rest : limit };
}

void as_log(as_level level, as_text message) { (void)level; (void)message; }

void as_check(bool holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "%s\n", what);
    exit(1);
}

void as_check_same(const char *found, const char *wanted, const char *where) {
    bool same = found && wanted ? strcmp(found, wanted) == 0 : found == wanted;
    if (same) return;
    fprintf(stderr, "%sfound %s, wanted %s\n", where, found ? found : "none", wanted ? wanted : "none");
    exit(1);
}

static const as_bytes *config_of(const as_scope *scope) {
    return scope->configured ? &scope->config : NULL;
}

as_scope *as_scope_new(const char *config) {
    as_scope *scope = calloc(1, sizeof *scope);
    as_check(scope != NULL, "no memory");
    as_text why;
    scope->configured = config != NULL;
    scope->config = as_bytes_of(as_text_of(config));
    scope->folded = as_start(test_scope, config_of(scope), &why);
    as_end_call();
    if (scope->folded) return scope;
    free(scope);
    return NULL;
}

void as_scope_free(as_scope *scope) {
    for (size_t i = 0; i < past_len; i++) {
        free((void *)past[i].kind.at);
        free((void *)past[i].payload.at);
    }
    free(past);
    past = NULL;
    past_len = 0;
    as_stop(scope->folded);
    free(scope);
}

void as_scope_at(as_scope *scope, uint64_t host_ms) { scope->host_ms = host_ms; }

/* A copy of a snapshot; len is 0 if the rules keep none. */
static as_text snapshot_of(const as_instance *instance) {
    as_bytes bytes;
    if (!as_snapshot(instance, &bytes)) return as_keep((as_text){ "", 0 });
    return as_keep((as_text){ (const char *)bytes.at, bytes.len });
}

/* An instance restored from the snapshot of the one that folds; NULL if the rules keep none. */
static as_instance *twin(const as_scope *scope) {
    as_text snapshot = snapshot_of(scope->folded), why = AS("");
    as_instance *restored = NULL;
    if (snapshot.len) {
        restored = as_restore(test_scope, config_of(scope), as_bytes_of(snapshot), &why);
        as_check(restored != NULL, "the rules decline their own snapshot");
    }
    free((void *)snapshot.at);
    return restored;
}

static void check_unchanged(const as_instance *instance, as_text before) {
    as_text after = snapshot_of(instance);
    as_check(as_same(before, after), "a question changed the state");
    free((void *)after.at);
}

static void fold(as_scope *scope, as_text kind, as_text content_type, as_bytes payload) {
    past = realloc(past, (past_len + 1) * sizeof *past);
    as_check(past != NULL, "no memory");
    as_event *event = &past[past_len++];
    *event = (as_event){ .seq = ++scope->head, .kind = as_keep(kind), .content_type = content_type,
        .payload = as_bytes_of(as_keep((as_text){ (const char *)payload.at, payload.len })),
        .host_ms = scope->host_ms };
    as_instance *restored = twin(scope);
    as_event known = as_today(event);
    as_apply(scope->folded, &known, 1);
    if (!restored) return;
    known = as_today(event);
    as_apply(restored, &known, 1);
    as_text folded = snapshot_of(scope->folded), again = snapshot_of(restored);
    as_check(as_same(folded, again), "a restored state folds otherwise");
    free((void *)folded.at);
    free((void *)again.at);
    as_stop(restored);
}

static bool same_verdict(const as_verdict *a, const as_verdict *b) {
    if (a->accepted != b->accepted || a->events_len != b->events_len) return false;
    for (size_t i = 0; i < a->events_len; i++) {
        if (!as_same(a->events[i].kind, b->events[i].kind)) return false;
    }
    const as_reason *x = a->reasons, *y = b->reasons;
    for (; x && y; x = x->earlier, y = y->earlier) {
        if (!as_same(x->code, y->code) || !as_same(x->message, y->message)) return false;
    }
    return !x && !y;
}

const char *as_propose_all(as_scope *scope, const char *const *pairs, size_t count, size_t *index) {
    as_proposal *proposals = as_alloc(count * sizeof *proposals);
    as_verdict *verdicts = as_alloc(count * sizeof *verdicts);
    as_verdict *again = as_alloc(count * sizeof *again);
    for (size_t i = 0; i < count; i++) {
        proposals[i] = (as_proposal){ .kind = as_text_of(pairs[2 * i]), .host_ms = scope->host_ms,
            .content_type = AS("application/json"),
            .payload = as_bytes_of(as_text_of(pairs[2 * i + 1])) };
    }
    as_text before = snapshot_of(scope->folded);
    as_instance *restored = twin(scope);
    size_t end = as_validate(scope->folded, proposals, count, verdicts);
    for (int round = 0; round < 2; round++) {
        const as_instance *asked = round && restored ? restored : scope->folded;
        as_check(as_validate(asked, proposals, count, again) == end, "the second time it answers otherwise");
        for (size_t i = 0; i <= end && i < count; i++) {
            as_check(same_verdict(&verdicts[i], &again[i]), "the second time it answers otherwise");
        }
        check_unchanged(asked, before);
    }
    as_stop(restored);
    free((void *)before.at);
    const char *code = NULL;
    if (end < count) {
        const as_reason *reason = verdicts[end].reasons;
        snprintf(scope->code, sizeof scope->code, "%.*s", (int)reason->code.len, reason->code.at);
        snprintf(scope->message, sizeof scope->message, "%.*s", (int)reason->message.len,
                 reason->message.at);
        code = scope->code;
    }
    for (size_t i = 0; !code && i < count; i++) {
        const as_verdict *yes = &verdicts[i];
        if (!yes->instead) fold(scope, proposals[i].kind, proposals[i].content_type, proposals[i].payload);
        for (size_t j = 0; j < yes->events_len; j++) {
            fold(scope, yes->events[j].kind, AS("application/json"), yes->events[j].payload);
        }
    }
    if (index) *index = end;
    as_end_call();
    return code;
}

const char *as_propose(as_scope *scope, const char *kind, const char *json) {
    return as_propose_all(scope, (const char *[]){ kind, json }, 1, NULL);
}

const char *as_last_message(const as_scope *scope) { return scope->message; }

void as_given(as_scope *scope, const char *kind, const char *json) {
    fold(scope, as_text_of(kind), AS("application/json"), as_bytes_of(as_text_of(json)));
    as_end_call();
}

const char *as_ask(as_scope *scope, const char *name) {
    as_text answer = AS(""), again = AS(""), why = AS("");
    as_bytes none = { NULL, 0 };
    as_instance *restored = twin(scope);
    bool found = as_query(scope->folded, as_text_of(name), none, &answer, &why);
    if (restored) {
        bool also = as_query(restored, as_text_of(name), none, &again, &why);
        as_check(found == also && as_same(answer, again), "restored, it answers otherwise");
        as_stop(restored);
    }
    snprintf(scope->answer, sizeof scope->answer, "%.*s", (int)answer.len, answer.at);
    as_end_call();
    return found ? scope->answer : NULL;
}
