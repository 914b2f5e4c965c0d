/* The border to the store: the canonical ABI of wit/validator.wit, by hand. Included by atomic_store.c
 * where it is built for WebAssembly. The structs of atomic_store.h have the layout of the contract's
 * records, so that what comes in is read where it stands. */

#define HISTORY "atomic-store:validator/history@1.0.0"
#define LOG "atomic-store:validator/log@1.0.0"
#define RULES "atomic-store:validator/rules@1.0.0#"
#define EXPORT(name) __attribute__((export_name(name)))
#define IMPORT(from, name) __attribute__((import_module(from), import_name(name)))

_Static_assert(sizeof(as_event) == 72 && offsetof(as_event, host_ms) == 64, "event");
_Static_assert(sizeof(as_proposal) == 64 && offsetof(as_proposal, host_ms) == 56, "proposal");
_Static_assert(sizeof(as_new_event) == 40, "new-event");
_Static_assert(sizeof(as_maybe_bytes) == 12, "option<list<u8>>");

typedef struct { const void *at; size_t len; } list;
typedef struct { bool some; list value; } maybe_list;
typedef struct { maybe_list events; as_maybe_text reason; as_maybe_bytes meta; list outputs; } acceptance;
typedef struct { as_text code, message; as_maybe_bytes data; list seqs; } reason;
typedef struct { uint32_t index; list reasons; as_maybe_bytes meta; } refusal;
typedef struct { bool is_refusal; union { list acceptances; refusal refusal; } of; } judgement;
typedef struct { bool is_error; as_text value; } answer;
typedef struct { as_text name; as_maybe_text schema; } kind_info;
typedef struct { as_text name, version; list kinds; } description;
_Static_assert(sizeof(acceptance) == 44 && sizeof(reason) == 36 && sizeof(judgement) == 28, "verdicts");
_Static_assert(sizeof(kind_info) == 20 && sizeof(description) == 24, "description");

IMPORT(HISTORY, "head") uint64_t import_head(void);
IMPORT(HISTORY, "read") void import_read(uint64_t after, uint32_t limit, as_events *page);
IMPORT(LOG, "line") void import_line(int32_t level, const char *at, size_t len);

uint64_t as_history_head(void) { return import_head(); }

as_events as_history_read(uint64_t after, uint32_t limit) {
    as_events page;
    import_read(after, limit, &page);
    return page;
}

void as_log(as_level level, as_text message) { import_line(level, message.at, message.len); }

/* The store asks for memory piece by piece. Nothing of it outlives the call. */
EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_len, size_t align, size_t len) {
    (void)align;
    if (old && old_len >= len) return old;
    void *at = take(len);
    copy(at, old, old_len);
    return at;
}

static as_instance *the_instance;
/* Where answers stand that are of one size. */
static union { judgement judgement; answer answer; description description; as_maybe_bytes bytes; } out;

EXPORT(RULES "describe") const description *export_describe(void) {
    kind_info *kinds = array(as_validator.kinds_len, sizeof *kinds);
    for (size_t i = 0; i < as_validator.kinds_len; i++) {
        const as_kind *kind = &as_validator.kinds[i];
        kinds[i] = (kind_info){ as_text_of(kind->name), { kind->schema, as_text_of(kind->schema) } };
    }
    out.description = (description){ as_text_of(as_validator.name), as_text_of(as_validator.version),
                                     { kinds, as_validator.kinds_len } };
    return &out.description;
}

static const answer *started(as_instance *instance, as_text why_not) {
    as_stop(the_instance);
    the_instance = instance;
    out.answer = (answer){ !instance, why_not };
    return &out.answer;
}

EXPORT(RULES "init") const answer *export_init(const char *scope, size_t scope_len, int32_t configured,
        const uint8_t *config, size_t config_len) {
    as_text why = { NULL, 0 };
    as_bytes bytes = { config, config_len };
    return started(as_start((as_text){ scope, scope_len }, configured ? &bytes : NULL, &why), why);
}

EXPORT(RULES "restore") const answer *export_restore(const char *scope, size_t scope_len,
        int32_t configured, const uint8_t *config, size_t config_len, const uint8_t *snapshot,
        size_t snapshot_len) {
    as_text why = { NULL, 0 };
    as_bytes bytes = { config, config_len };
    as_instance *instance = as_restore((as_text){ scope, scope_len }, configured ? &bytes : NULL,
                                       (as_bytes){ snapshot, snapshot_len }, &why);
    return started(instance, why);
}

/* The contract's order of calls, which the store keeps; a trap is the right answer to another. */
static as_instance *running(void) {
    if (!the_instance) abort();
    return the_instance;
}

EXPORT(RULES "apply") void export_apply(const as_event *events, size_t count) {
    as_apply(running(), events, count);
    as_end_call();
}

/* See AS_UPCASTS. */
const void *as_upcast_all(const as_event *events, size_t count) {
    typedef struct { bool some; as_new_event value; } maybe_event;
    _Static_assert(sizeof(maybe_event) == 44, "option<new-event>");
    static list answers;
    maybe_event *all = array(count, sizeof *all);
    for (size_t i = 0; i < count; i++) {
        all[i].some = as_validator.upcast && as_validator.upcast(&events[i], &all[i].value);
    }
    answers = (list){ all, count };
    return &answers;
}

static refusal refuse(const as_verdict *no, size_t index) {
    size_t count = 0;
    for (const as_reason *r = no->reasons; r; r = r->earlier) count++;
    reason *reasons = array(count, sizeof *reasons), *place = reasons + count;
    for (const as_reason *r = no->reasons; r; r = r->earlier) {
        *--place = (reason){ r->code, r->message, r->data, { r->seqs, r->seqs_len } };
    }
    return (refusal){ (uint32_t)index, { reasons, count }, no->meta };
}

EXPORT(RULES "validate") const judgement *export_validate(const as_proposal *proposals, size_t count) {
    as_verdict *verdicts = array(count, sizeof *verdicts);
    size_t end = as_validate(running(), proposals, count, verdicts);
    if (end < count) {
        out.judgement.is_refusal = true;
        out.judgement.of.refusal = refuse(&verdicts[end], end);
        return &out.judgement;
    }
    acceptance *all = array(count, sizeof *all);
    for (size_t i = 0; i < count; i++) {
        const as_verdict *yes = &verdicts[i];
        all[i] = (acceptance){ { yes->instead, { yes->events, yes->events_len } }, yes->reason,
                               yes->meta, { NULL, 0 } };
    }
    out.judgement.is_refusal = false;
    out.judgement.of.acceptances = (list){ all, count };
    return &out.judgement;
}

EXPORT(RULES "snapshot") const as_maybe_bytes *export_snapshot(void) {
    out.bytes.some = as_snapshot(running(), &out.bytes.value);
    return &out.bytes;
}

EXPORT(RULES "query") const answer *export_query(const char *name, size_t name_len, const uint8_t *args,
        size_t args_len) {
    as_text found = { NULL, 0 }, why = { NULL, 0 };
    bool is_found = as_query(running(), (as_text){ name, name_len }, (as_bytes){ args, args_len },
                             &found, &why);
    out.answer = (answer){ !is_found, is_found ? found : why };
    return &out.answer;
}

#define POST(name) \
    EXPORT("cabi_post_" RULES #name) void post_##name(const void *answer) { (void)answer; as_end_call(); }
POST(describe) POST(init) POST(restore) POST(validate) POST(snapshot) POST(query)
