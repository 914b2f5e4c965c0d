/* Validators for Atomic Store in C: one header, one C file, no generator.
 *
 * A validator is a table of functions, named once with AS_VALIDATOR:
 *
 *     static as_verdict validate(const void *state, const as_proposal *proposal) { ... }
 *     AS_VALIDATOR(.name = "seats", .version = "1.0.0", .init = init, .validate = validate, ...);
 *
 * The rules are deterministic: what they answer depends on the state and the proposal, on nothing else.
 * There is no clock, no randomness, no file. Time is `proposal->host_ms`.
 *
 * Memory: what an `as_` function returns, the arguments of a call and the pages of history live until
 * the call ends. A state owns its memory (malloc and free): copy into it what it keeps.
 *
 * Texts are UTF-8 with a length. They are untrusted, may hold zeros, and do not end in one.
 */
#ifndef ATOMIC_STORE_H
#define ATOMIC_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Texts and bytes ---- */

typedef struct { const char *at; size_t len; } as_text;
typedef struct { const uint8_t *at; size_t len; } as_bytes;
typedef struct { bool some; as_text value; } as_maybe_text;
typedef struct { bool some; as_bytes value; } as_maybe_bytes;
typedef struct { bool some; uint64_t value; } as_maybe_u64;

/* The text of a literal. */
#define AS(literal) ((as_text){ "" literal, sizeof(literal) - 1 })

/* Texts one behind the other: AS_CONCAT(AS("at least "), as_decimal(7)). */
#define AS_CONCAT(...) \
    as_concat((as_text[]){ __VA_ARGS__ }, sizeof((as_text[]){ __VA_ARGS__ }) / sizeof(as_text))

as_text as_concat(const as_text *parts, size_t count);
as_text as_decimal(uint64_t number);
bool as_same(as_text a, as_text b);
bool as_is(as_text text, const char *literal);
as_bytes as_bytes_of(as_text text);
as_text as_text_of(const char *zero_terminated);

/* A copy that outlives the call, for a state; free(.at) it. Ends in a zero that .len does not count. */
as_text as_keep(as_text text);

/* Memory until the call ends, set to zero; aligned for anything. */
void *as_alloc(size_t size);

/* ---- What crosses the border: wit/validator.wit says more ---- */

typedef struct { as_text kind, id; } as_key;
typedef struct { as_text name, value; } as_pair;
typedef struct { const as_key *at; size_t len; } as_keys;
typedef struct { const as_pair *at; size_t len; } as_pairs;

/* An accepted event. */
typedef struct {
    uint64_t seq;
    as_text kind, content_type;
    as_bytes payload;
    as_keys keys;
    as_pairs metadata;
    as_maybe_u64 caller_ms;
    uint64_t host_ms;
} as_event;

/* An event that a client wants to append. Untrusted. */
typedef struct {
    as_text kind, content_type;
    as_bytes payload;
    as_keys keys;
    as_pairs metadata;
    as_maybe_u64 caller_ms;
    uint64_t host_ms;
} as_proposal;

/* An event to store in place of a proposal. */
typedef struct {
    as_text kind, content_type;
    as_bytes payload;
    as_keys keys;
    as_pairs metadata;
} as_new_event;

/* A kind of event, for describe; the schema is a JSON schema, or NULL. */
typedef struct { const char *name, *schema; } as_kind;

/* ---- Verdicts ---- */

typedef struct as_reason as_reason;

/* Made by the functions below, each of which returns what it was given with something more. */
typedef struct {
    bool accepted;
    bool instead;                   /* store `events`, not the proposal */
    const as_new_event *events;
    size_t events_len;
    as_maybe_text reason;
    as_maybe_bytes meta;
    as_reason *reasons;             /* of a rejection, the last first */
} as_verdict;

as_verdict as_accept(void);
/* Yes, but store these events instead; none at all is allowed. The array must live until the call ends. */
as_verdict as_accept_instead(const as_new_event *events, size_t count);
as_verdict as_with_reason(as_verdict yes, as_text sentence);
as_verdict as_with_meta(as_verdict verdict, as_bytes meta);

as_verdict as_reject(const char *code, as_text message);
as_verdict as_and_reject(as_verdict no, const char *code, as_text message);
as_verdict as_with_data(as_verdict no, as_bytes data);      /* of the last reason */
as_verdict as_with_seq(as_verdict no, uint64_t seq);        /* one more, of the last reason */
as_verdict as_unknown_kind(const as_proposal *proposal);

/* An event with a JSON payload. */
as_new_event as_json_event(const char *kind, as_text json);

/* ---- JSON, read where it stands ---- */

typedef enum {
    AS_JSON_NONE,      /* there is no such field */
    AS_JSON_TWICE,     /* the field is there more than once */
    AS_JSON_NULL, AS_JSON_BOOL, AS_JSON_NUMBER, AS_JSON_STRING, AS_JSON_ARRAY, AS_JSON_OBJECT
} as_json_type;

/* A value within a text that was checked as a whole. */
typedef struct { as_json_type type; as_text raw; } as_json;

/* True if the bytes are one JSON value: strict, UTF-8, at most 128 deep. */
bool as_json_parse(as_bytes bytes, as_json *value);
/* The field of an object; AS_JSON_NONE if there is none, or if the value is no object. */
as_json as_json_get(as_json object, const char *name);
/* The item of an array; AS_JSON_NONE behind the last. */
as_json as_json_at(as_json array, size_t index);
/* Steps through an object: begin with *place 0; false at the end. */
bool as_json_next(as_json object, size_t *place, as_text *name, as_json *value);
/* Each is false if the value is something else, or out of range. */
bool as_json_text(as_json value, as_text *text);
bool as_json_u64(as_json value, uint64_t *number);
bool as_json_double(as_json value, double *number);
bool as_json_bool(as_json value, bool *boolean);
/* The text as a JSON string, with its quotes. */
as_text as_json_quote(as_text text);

/* ---- Snapshots: what you put in comes out in the same order ---- */

typedef struct { uint8_t *at; size_t len, room; } as_writer;
typedef struct { const uint8_t *at; size_t len; bool failed; } as_reader;

void as_put_u64(as_writer *to, uint64_t number);
void as_put_bool(as_writer *to, bool boolean);
void as_put_text(as_writer *to, as_text text);
/* After the end, and for what does not fit, zero or an empty text; the snapshot is then declined. */
uint64_t as_get_u64(as_reader *from);
bool as_get_bool(as_reader *from);
as_text as_get_text(as_reader *from);       /* lives until the call ends: as_keep it */

/* ---- The rules ---- */

typedef struct {
    const char *name;           /* 1 to 64 lower-case letters, digits and - */
    const char *version;        /* semantic */
    const as_kind *kinds;       /* may be NULL */
    size_t kinds_len;
    /* The state of a scope without events, or NULL and why not. `config` is NULL if there is none. */
    void *(*init)(as_text scope, const as_bytes *config, as_text *why_not);
    /* Gives back a state. */
    void (*drop)(void *state);
    /* Folds an accepted event. It cannot say no: ignore what you do not understand. */
    void (*apply)(void *state, const as_event *event);
    /* Judges a proposal; earlier members of its batch are in the state. Must not change the state. */
    as_verdict (*validate)(const void *state, const as_proposal *proposal);
    /* The state in and out. NULL is a decline. They serve snapshots and batches of several proposals. */
    void (*save)(const void *state, as_writer *to);
    void *(*load)(as_reader *from);
    /* Answers a question about the state; false and why not. May be NULL. */
    bool (*query)(const void *state, as_text name, as_bytes args, as_text *answer, as_text *why_not);
    /* True makes the store fold the log instead of keeping snapshots. */
    bool no_snapshots;
    /* What an older event is today; false if it is as it was. Number and times stay. May be NULL. The store
     * asks only if AS_UPCASTS stands in the file: before each apply, which so sees the newer forms only, and
     * for readers. History shows events as they are stored. */
    bool (*upcast)(const as_event *event, as_new_event *newer);
} as_rules;

extern const as_rules as_validator;
#define AS_VALIDATOR(...) const as_rules as_validator = { __VA_ARGS__ }

/* Stands behind AS_VALIDATOR in the file of rules that have `.upcast`. */
#ifdef __wasm__
#define AS_UPCASTS \
    AS_UPCAST_EXPORT("") const void *as_export_upcast(const as_event *events, size_t count) { \
        return as_upcast_all(events, count); \
    } \
    AS_UPCAST_EXPORT("cabi_post_") void as_export_upcast_end(const void *answer) { \
        (void)answer; \
        as_end_call(); \
    } \
    extern const as_rules as_validator
#define AS_UPCAST_EXPORT(before) \
    __attribute__((export_name(before "atomic-store:validator/upcasting@1.0.0#upcast")))
const void *as_upcast_all(const as_event *events, size_t count);
#else
#define AS_UPCASTS extern const as_rules as_validator
#endif

/* ---- Earlier events and log lines ---- */

typedef struct { const as_event *at; size_t len; } as_events;
/* The number of the last event, 0 for none. */
uint64_t as_history_head(void);
/* Events after `after`, in order: at most `limit`, fewer if they are large, none at the end. */
as_events as_history_read(uint64_t after, uint32_t limit);

typedef enum { AS_DEBUG, AS_INFO, AS_WARN, AS_ERROR } as_level;
/* Never influences a verdict. */
void as_log(as_level level, as_text message);

/* ---- One scope's rules at work: what the store calls, and what a native test calls ---- */

typedef struct as_instance as_instance;
struct as_reason {
    as_text code, message;
    as_maybe_bytes data;
    const uint64_t *seqs;
    size_t seqs_len;
    as_reason *earlier;
};

/* Both NULL and why not if the rules decline. */
as_instance *as_start(as_text scope, const as_bytes *config, as_text *why_not);
as_instance *as_restore(as_text scope, const as_bytes *config, as_bytes snapshot, as_text *why_not);
void as_apply(as_instance *instance, const as_event *events, size_t count);
/* The event as the rules know it today; the store asks the same before it applies. */
as_event as_today(const as_event *event);
/* Verdicts of the proposals up to the first rejection, whose index it returns; `count` if there is none. */
size_t as_validate(const as_instance *instance, const as_proposal *proposals, size_t count,
                   as_verdict *verdicts);
/* False if the rules keep none. */
bool as_snapshot(const as_instance *instance, as_bytes *snapshot);
bool as_query(const as_instance *instance, as_text name, as_bytes args, as_text *answer,
              as_text *why_not);
void as_stop(as_instance *instance);
/* Ends a call: gives back what lived for it. */
void as_end_call(void);

#ifdef __cplusplus
}
#endif
#endif
