/* The part of atomic_store.h that is the same for all validators. Compile it with yours. */
#include "atomic_store.h"

#include <stdlib.h>
#include <string.h>

#define MESSAGE_BYTES_MAX 1024
#define JSON_DEPTH_MAX 128

/* ---- Memory that lives for one call ----
 *
 * The store asks for the arguments before a call begins, so only the end of a call may empty this. The
 * first chunk is enough for the usual append. */

typedef struct chunk { struct chunk *earlier; size_t room; } chunk;

static _Alignas(16) uint8_t first_chunk[32 * 1024];
static chunk *chunks;
static size_t chunk_used;       /* of the newest chunk, or of the first one if there is none */

static void *take(size_t size) {
    if (size > SIZE_MAX / 2) abort();
    size = (size + 15) & ~(size_t)15;
    uint8_t *base = chunks ? (uint8_t *)chunks : first_chunk;
    size_t room = chunks ? chunks->room : sizeof first_chunk;
    if (size > room - chunk_used) {
        size_t header = (sizeof(chunk) + 15) & ~(size_t)15;
        room = header + (size > 64 * 1024 ? size : 64 * 1024);
        chunk *next = malloc(room);
        if (!next) abort();
        next->earlier = chunks;
        next->room = room;
        chunks = next;
        chunk_used = header;
        base = (uint8_t *)next;
    }
    void *at = base + chunk_used;
    chunk_used += size;
    return at;
}

void *as_alloc(size_t size) {
    void *at = take(size);
    memset(at, 0, size);
    return at;
}

void as_end_call(void) {
    while (chunks) {
        chunk *earlier = chunks->earlier;
        free(chunks);
        chunks = earlier;
    }
    chunk_used = 0;
}

static void *array(size_t count, size_t size) {
    if (size && count > SIZE_MAX / 4 / size) abort();
    return as_alloc(count * size);
}

/* ---- Texts ---- */

static void copy(void *to, const void *from, size_t len) {
    if (len) memcpy(to, from, len);
}

as_text as_concat(const as_text *parts, size_t count) {
    size_t len = 0;
    for (size_t i = 0; i < count; i++) len += parts[i].len;
    char *at = take(len), *end = at;
    for (size_t i = 0; i < count; end += parts[i++].len) copy(end, parts[i].at, parts[i].len);
    return (as_text){ at, len };
}

as_text as_decimal(uint64_t number) {
    char digits[20];
    size_t at = sizeof digits;
    do digits[--at] = (char)('0' + number % 10); while (number /= 10);
    return as_concat(&(as_text){ digits + at, sizeof digits - at }, 1);
}

bool as_same(as_text a, as_text b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

as_text as_text_of(const char *zero_terminated) {
    return (as_text){ zero_terminated, zero_terminated ? strlen(zero_terminated) : 0 };
}

bool as_is(as_text text, const char *literal) { return as_same(text, as_text_of(literal)); }

as_bytes as_bytes_of(as_text text) { return (as_bytes){ (const uint8_t *)text.at, text.len }; }

as_text as_keep(as_text text) {
    char *at = malloc(text.len + 1);
    if (!at) abort();
    copy(at, text.at, text.len);
    at[text.len] = 0;
    return (as_text){ at, text.len };
}

/* Within the cap of the contract, cut between characters: what is said often quotes what came in. */
static as_text shorten(as_text text) {
    if (text.len <= MESSAGE_BYTES_MAX) return text;
    size_t end = MESSAGE_BYTES_MAX - 4;
    while (end && ((uint8_t)text.at[end] & 0xc0) == 0x80) end--;
    return AS_CONCAT(((as_text){ text.at, end }), AS(" ..."));
}

/* ---- Verdicts ---- */

as_verdict as_accept(void) { return (as_verdict){ .accepted = true }; }

as_verdict as_accept_instead(const as_new_event *events, size_t count) {
    return (as_verdict){ .accepted = true, .instead = true, .events = events, .events_len = count };
}

as_verdict as_with_reason(as_verdict yes, as_text sentence) {
    yes.reason = (as_maybe_text){ true, shorten(sentence) };
    return yes;
}

as_verdict as_with_meta(as_verdict verdict, as_bytes meta) {
    verdict.meta = (as_maybe_bytes){ true, meta };
    return verdict;
}

as_verdict as_reject(const char *code, as_text message) {
    return as_and_reject((as_verdict){ .accepted = false }, code, message);
}

as_verdict as_and_reject(as_verdict no, const char *code, as_text message) {
    as_reason *reason = as_alloc(sizeof *reason);
    reason->code = as_text_of(code);
    reason->message = shorten(message);
    reason->earlier = no.reasons;
    no.reasons = reason;
    return no;
}

as_verdict as_with_data(as_verdict no, as_bytes data) {
    if (no.reasons) no.reasons->data = (as_maybe_bytes){ true, data };
    return no;
}

as_verdict as_with_seq(as_verdict no, uint64_t seq) {
    if (!no.reasons) return no;
    uint64_t *seqs = array(no.reasons->seqs_len + 1, sizeof *seqs);
    copy(seqs, no.reasons->seqs, no.reasons->seqs_len * sizeof *seqs);
    seqs[no.reasons->seqs_len++] = seq;
    no.reasons->seqs = seqs;
    return no;
}

as_verdict as_unknown_kind(const as_proposal *proposal) {
    return as_reject("unknown-kind",
        AS_CONCAT(AS("these rules know no event of kind \""), proposal->kind, AS("\"")));
}

as_new_event as_json_event(const char *kind, as_text json) {
    return (as_new_event){ .kind = as_text_of(kind), .content_type = AS("application/json"),
                           .payload = as_bytes_of(json) };
}

/* ---- JSON ---- */

typedef struct { const char *at, *end; } cursor;

static int peek(const cursor *c) { return c->at < c->end ? (uint8_t)*c->at : -1; }

static bool eat(cursor *c, char wanted) {
    if (peek(c) != wanted) return false;
    c->at++;
    return true;
}

static void skip_space(cursor *c) {
    for (int b = peek(c); b == ' ' || b == '\t' || b == '\n' || b == '\r'; b = peek(c)) c->at++;
}

static bool skip_word(cursor *c, const char *word) {
    size_t len = strlen(word);
    if ((size_t)(c->end - c->at) < len || memcmp(c->at, word, len) != 0) return false;
    c->at += len;
    return true;
}

static bool skip_digits(cursor *c) {
    const char *from = c->at;
    while (peek(c) >= '0' && peek(c) <= '9') c->at++;
    return c->at > from;
}

static bool skip_number(cursor *c) {
    (void)eat(c, '-');
    if (!eat(c, '0') && !skip_digits(c)) return false;
    if (eat(c, '.') && !skip_digits(c)) return false;
    if (eat(c, 'e') || eat(c, 'E')) {
        if (!eat(c, '+')) (void)eat(c, '-');
        return skip_digits(c);
    }
    return true;
}

/* Four hexadecimal digits, or -1. */
static int32_t skip_hex4(cursor *c) {
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        int b = peek(c);
        int digit = b >= '0' && b <= '9' ? b - '0'
                  : b >= 'a' && b <= 'f' ? b - 'a' + 10
                  : b >= 'A' && b <= 'F' ? b - 'A' + 10 : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
        c->at++;
    }
    return value;
}

/* The character of an escape, behind its backslash, or -1. */
static int32_t skip_escape(cursor *c) {
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    int b = peek(c);
    if (b < 0) return -1;
    c->at++;
    if (b != 'u') {
        const char *found = b ? strchr(letters, b) : NULL;
        return found ? (uint8_t)meanings[found - letters] : -1;
    }
    int32_t high = skip_hex4(c);
    if (high < 0xd800 || high > 0xdfff) return high;
    if (high > 0xdbff || !eat(c, '\\') || !eat(c, 'u')) return -1;
    int32_t low = skip_hex4(c);
    if (low < 0xdc00 || low > 0xdfff) return -1;
    return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

/* One character of more than one byte, as UTF-8 has it: no longer than needed, no surrogates. */
static bool skip_wide(cursor *c) {
    int first = peek(c);
    int more = first >= 0xc2 && first <= 0xdf ? 1 : first >= 0xe0 && first <= 0xef ? 2
             : first >= 0xf0 && first <= 0xf4 ? 3 : 0;
    if (!more || c->end - c->at <= more) return false;
    int second = (uint8_t)c->at[1];
    int low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    int high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (second < low || second > high) return false;
    for (int i = 2; i <= more; i++) if (((uint8_t)c->at[i] & 0xc0) != 0x80) return false;
    c->at += more + 1;
    return true;
}

static bool skip_string(cursor *c) {
    if (!eat(c, '"')) return false;
    for (;;) {
        int b = peek(c);
        if (b < 0x20) return false;
        if (b >= 0x80) {
            if (!skip_wide(c)) return false;
            continue;
        }
        c->at++;
        if (b == '"') return true;
        if (b == '\\' && skip_escape(c) < 0) return false;
    }
}

static bool skip_value(cursor *c, int depth);

static bool skip_list(cursor *c, char end, bool named, int depth) {
    c->at++;
    skip_space(c);
    if (eat(c, end)) return true;
    do {
        skip_space(c);
        if (named) {
            if (!skip_string(c)) return false;
            skip_space(c);
            if (!eat(c, ':')) return false;
            skip_space(c);
        }
        if (!skip_value(c, depth)) return false;
        skip_space(c);
    } while (eat(c, ','));
    return eat(c, end);
}

static bool skip_value(cursor *c, int depth) {
    switch (peek(c)) {
        case '{': return depth < JSON_DEPTH_MAX && skip_list(c, '}', true, depth + 1);
        case '[': return depth < JSON_DEPTH_MAX && skip_list(c, ']', false, depth + 1);
        case '"': return skip_string(c);
        case 't': return skip_word(c, "true");
        case 'f': return skip_word(c, "false");
        case 'n': return skip_word(c, "null");
        default: return skip_number(c);
    }
}

static as_json_type type_of(char first) {
    switch (first) {
        case '{': return AS_JSON_OBJECT;
        case '[': return AS_JSON_ARRAY;
        case '"': return AS_JSON_STRING;
        case 't': case 'f': return AS_JSON_BOOL;
        case 'n': return AS_JSON_NULL;
        default: return AS_JSON_NUMBER;
    }
}

/* The value at the cursor, which moves behind it. */
static bool value_at(cursor *c, as_json *value) {
    const char *from = c->at;
    if (!skip_value(c, 0)) return false;
    *value = (as_json){ type_of(*from), { from, (size_t)(c->at - from) } };
    return true;
}

bool as_json_parse(as_bytes bytes, as_json *value) {
    const char *at = (const char *)bytes.at;
    cursor c = { at, at + bytes.len };
    skip_space(&c);
    if (!value_at(&c, value)) return false;
    skip_space(&c);
    return c.at == c.end;
}

/* What stands between the quotes. */
static as_text unescape(as_text quoted) {
    as_text inside = { quoted.at + 1, quoted.len - 2 };
    if (!inside.len || !memchr(inside.at, '\\', inside.len)) return inside;
    char *text = take(inside.len);      /* No escape is longer than what it stands for. */
    size_t len = 0;
    cursor c = { inside.at, inside.at + inside.len };
    while (c.at < c.end) {
        int32_t code = (uint8_t)*c.at++;
        if (code != '\\') {
            text[len++] = (char)code;
            continue;
        }
        code = skip_escape(&c);
        if (code < 0x80) {
            text[len++] = (char)code;
        } else if (code < 0x800) {
            text[len++] = (char)(0xc0 | code >> 6);
            text[len++] = (char)(0x80 | (code & 0x3f));
        } else {
            if (code < 0x10000) {
                text[len++] = (char)(0xe0 | code >> 12);
            } else {
                text[len++] = (char)(0xf0 | code >> 18);
                text[len++] = (char)(0x80 | (code >> 12 & 0x3f));
            }
            text[len++] = (char)(0x80 | (code >> 6 & 0x3f));
            text[len++] = (char)(0x80 | (code & 0x3f));
        }
    }
    return (as_text){ text, len };
}

/* Steps through a list: `place` is an offset into it, 0 at first. */
static bool next_item(as_json list, size_t *place, as_text *name, as_json *value) {
    bool named = list.type == AS_JSON_OBJECT;
    if ((!named && list.type != AS_JSON_ARRAY) || *place >= list.raw.len) return false;
    cursor c = { list.raw.at + (*place ? *place : 1), list.raw.at + list.raw.len };
    if (*place && !eat(&c, ',')) return false;
    skip_space(&c);
    if (named) {
        const char *from = c.at;
        if (!skip_string(&c)) return false;
        *name = unescape((as_text){ from, (size_t)(c.at - from) });
        skip_space(&c);
        if (!eat(&c, ':')) return false;
        skip_space(&c);
    }
    if (!value_at(&c, value)) return false;
    skip_space(&c);
    *place = (size_t)(c.at - list.raw.at);
    return true;
}

bool as_json_next(as_json object, size_t *place, as_text *name, as_json *value) {
    return object.type == AS_JSON_OBJECT && next_item(object, place, name, value);
}

as_json as_json_get(as_json object, const char *name) {
    as_json found = { AS_JSON_NONE, { NULL, 0 } }, value;
    as_text key;
    for (size_t place = 0; as_json_next(object, &place, &key, &value);) {
        if (!as_is(key, name)) continue;
        if (found.type != AS_JSON_NONE) return (as_json){ AS_JSON_TWICE, { NULL, 0 } };
        found = value;
    }
    return found;
}

as_json as_json_at(as_json array, size_t index) {
    as_json value = { AS_JSON_NONE, { NULL, 0 } };
    if (array.type != AS_JSON_ARRAY) return value;
    for (size_t place = 0; next_item(array, &place, NULL, &value); index--) {
        if (index == 0) return value;
    }
    return (as_json){ AS_JSON_NONE, { NULL, 0 } };
}

bool as_json_text(as_json value, as_text *text) {
    if (value.type != AS_JSON_STRING) return false;
    *text = unescape(value.raw);
    return true;
}

bool as_json_u64(as_json value, uint64_t *number) {
    if (value.type != AS_JSON_NUMBER) return false;
    uint64_t sum = 0;
    for (size_t i = 0; i < value.raw.len; i++) {
        if (value.raw.at[i] < '0' || value.raw.at[i] > '9') return false;
        unsigned digit = (unsigned)(value.raw.at[i] - '0');
        if (sum > (UINT64_MAX - digit) / 10) return false;
        sum = sum * 10 + digit;
    }
    *number = sum;
    return true;
}

bool as_json_double(as_json value, double *number) {
    if (value.type != AS_JSON_NUMBER) return false;
    char *end, *text = as_alloc(value.raw.len + 1);
    copy(text, value.raw.at, value.raw.len);
    double parsed = strtod(text, &end);
    if (end != text + value.raw.len || parsed - parsed != 0) return false;     /* infinite */
    *number = parsed;
    return true;
}

bool as_json_bool(as_json value, bool *boolean) {
    if (value.type != AS_JSON_BOOL) return false;
    *boolean = value.raw.at[0] == 't';
    return true;
}

as_text as_json_quote(as_text text) {
    static const char hex[] = "0123456789abcdef", letters[] = "\"\\bfnrt", bytes[] = "\"\\\b\f\n\r\t";
    if (text.len > SIZE_MAX / 8) abort();
    char *out = take(text.len * 6 + 2);
    size_t len = 0;
    out[len++] = '"';
    for (size_t i = 0; i < text.len; i++) {
        char b = text.at[i];
        const char *found = b ? strchr(bytes, b) : NULL;
        if (found) {
            out[len++] = '\\';
            out[len++] = letters[found - bytes];
        } else if ((uint8_t)b < 0x20) {
            memcpy(out + len, "\\u00", 4);
            out[len + 4] = hex[(uint8_t)b >> 4];
            out[len + 5] = hex[b & 15];
            len += 6;
        } else {
            out[len++] = b;
        }
    }
    out[len++] = '"';
    return (as_text){ out, len };
}

/* ---- Snapshots ---- */

static void put(as_writer *to, const void *from, size_t len) {
    if (len > to->room - to->len) {
        size_t room = to->room * 2 > to->len + len ? to->room * 2 : to->len + len + 64;
        uint8_t *at = take(room);
        copy(at, to->at, to->len);
        to->at = at;
        to->room = room;
    }
    copy(to->at + to->len, from, len);
    to->len += len;
}

void as_put_u64(as_writer *to, uint64_t number) {
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(number >> 8 * i);
    put(to, bytes, 8);
}

void as_put_bool(as_writer *to, bool boolean) { put(to, &(uint8_t){ boolean }, 1); }

void as_put_text(as_writer *to, as_text text) {
    as_put_u64(to, text.len);
    put(to, text.at, text.len);
}

static const uint8_t *get(as_reader *from, uint64_t len) {
    if (from->failed || len > from->len) {
        from->failed = true;
        return NULL;
    }
    const uint8_t *at = from->at;
    from->at += len;
    from->len -= (size_t)len;
    return at;
}

uint64_t as_get_u64(as_reader *from) {
    const uint8_t *at = get(from, 8);
    uint64_t number = 0;
    for (int i = 7; at && i >= 0; i--) number = number << 8 | at[i];
    return number;
}

bool as_get_bool(as_reader *from) {
    const uint8_t *at = get(from, 1);
    if (at && *at > 1) from->failed = true;
    return at && *at == 1;
}

as_text as_get_text(as_reader *from) {
    uint64_t len = as_get_u64(from);
    const uint8_t *at = get(from, len);
    return at ? (as_text){ (const char *)at, (size_t)len } : (as_text){ NULL, 0 };
}

/* FNV-1a. Not a defence: the store guards its own files. */
static uint64_t hash(uint64_t sum, const void *from, size_t len) {
    const uint8_t *at = from;
    for (size_t i = 0; i < len; i++) sum = (sum ^ at[i]) * 0x100000001b3u;
    return sum;
}

static uint64_t hash_part(uint64_t sum, as_text part) {
    uint64_t len = part.len;
    for (int i = 0; i < 8; i++) sum = hash(sum, &(uint8_t){ (uint8_t)(len >> 8 * i) }, 1);
    return hash(sum, part.at, part.len);
}

/* ---- One scope's rules at work ---- */

struct as_instance {
    void *state;
    uint64_t head;      /* the last event that was folded, to number the events of a batch */
    uint64_t origin;    /* what a snapshot must have been made from to fit */
};

static as_instance *instance_of(as_text scope, const as_bytes *config) {
    uint64_t sum = 0xcbf29ce484222325u;
    sum = hash_part(sum, as_text_of(as_validator.name));
    sum = hash_part(sum, as_text_of(as_validator.version));
    sum = hash_part(sum, scope);
    if (config) sum = hash_part(sum, (as_text){ (const char *)config->at, config->len });
    as_instance *instance = calloc(1, sizeof *instance);
    if (!instance) abort();
    instance->origin = sum;
    return instance;
}

static as_instance *declined(as_instance *instance, as_text *why_not, as_text why) {
    *why_not = shorten(why);
    free(instance);
    return NULL;
}

as_instance *as_start(as_text scope, const as_bytes *config, as_text *why_not) {
    as_instance *instance = instance_of(scope, config);
    as_text why = AS("the rules decline");
    instance->state = as_validator.init(scope, config, &why);
    return instance->state ? instance : declined(instance, why_not, why);
}

as_instance *as_restore(as_text scope, const as_bytes *config, as_bytes snapshot, as_text *why_not) {
    as_instance *instance = instance_of(scope, config);
    as_reader from = { snapshot.at, snapshot.len, false };
    bool fits = as_get_u64(&from) == instance->origin;
    instance->head = as_get_u64(&from);
    uint64_t sum = as_get_u64(&from);
    fits = fits && !from.failed && sum == hash(instance->origin ^ instance->head, from.at, from.len);
    if (!fits) return declined(instance, why_not, AS("the snapshot is of something else, or damaged"));
    instance->state = as_validator.load(&from);
    if (instance->state && !from.failed && !from.len) return instance;
    if (instance->state) as_validator.drop(instance->state);
    return declined(instance, why_not, AS("the snapshot's state does not decode"));
}

void as_stop(as_instance *instance) {
    if (!instance) return;
    as_validator.drop(instance->state);
    free(instance);
}

void as_apply(as_instance *instance, const as_event *events, size_t count) {
    for (size_t i = 0; i < count; i++) {
        as_validator.apply(instance->state, &events[i]);
        instance->head = events[i].seq;
    }
}

as_event as_today(const as_event *event) {
    as_new_event newer;
    if (!as_validator.upcast || !as_validator.upcast(event, &newer)) return *event;
    return (as_event){ event->seq, newer.kind, newer.content_type, newer.payload, newer.keys,
                       newer.metadata, event->caller_ms, event->host_ms };
}

/* Folds what an accepted proposal becomes; returns the new head. */
static uint64_t fold(void *state, const as_proposal *p, const as_verdict *yes, uint64_t head) {
    const as_new_event own = { p->kind, p->content_type, p->payload, p->keys, p->metadata };
    const as_new_event *events = yes->instead ? yes->events : &own;
    size_t count = yes->instead ? yes->events_len : 1;
    for (size_t i = 0; i < count; i++) {
        as_event event = { ++head, events[i].kind, events[i].content_type, events[i].payload,
                           events[i].keys, events[i].metadata, p->caller_ms, p->host_ms };
        event = as_today(&event);
        as_validator.apply(state, &event);
    }
    return head;
}

static void *clone(const void *state) {
    as_writer to = { NULL, 0, 0 };
    as_validator.save(state, &to);
    as_reader from = { to.at, to.len, false };
    void *copy = as_validator.load(&from);
    if (!copy || from.failed || from.len) abort();      /* save and load do not fit each other */
    return copy;
}

size_t as_validate(const as_instance *instance, const as_proposal *proposals, size_t count,
                   as_verdict *verdicts) {
    void *state = instance->state;
    uint64_t head = instance->head;
    size_t i = 0;
    for (; i < count; i++) {
        verdicts[i] = as_validator.validate(state, &proposals[i]);
        if (!verdicts[i].accepted) break;
        if (i + 1 == count) continue;
        /* The state is cloned only where a later proposal needs to see this one. */
        if (state == instance->state) state = clone(state);
        head = fold(state, &proposals[i], &verdicts[i], head);
    }
    if (state != instance->state) as_validator.drop(state);
    return i;
}

bool as_snapshot(const as_instance *instance, as_bytes *snapshot) {
    if (as_validator.no_snapshots) return false;
    as_writer state = { NULL, 0, 0 }, to = { NULL, 0, 0 };
    as_validator.save(instance->state, &state);
    as_put_u64(&to, instance->origin);
    as_put_u64(&to, instance->head);
    as_put_u64(&to, hash(instance->origin ^ instance->head, state.at, state.len));
    put(&to, state.at, state.len);
    *snapshot = (as_bytes){ to.at, to.len };
    return true;
}

bool as_query(const as_instance *instance, as_text name, as_bytes args, as_text *answer,
              as_text *why_not) {
    *why_not = AS("these rules answer no queries");
    bool found =
        as_validator.query && as_validator.query(instance->state, name, args, answer, why_not);
    *why_not = shorten(*why_not);
    return found;
}

#ifdef __wasm__
#include "atomic_store_abi.h"
#endif
