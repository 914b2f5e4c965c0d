/* An English auction. examples/auction says what its rules are; these are the same, in C. */
#include "atomic_store.h"

#include <math.h>
#include <stdlib.h>

/* ---- Fields as people and spreadsheets write them ---- */

/* An amount of money in cents. */
typedef uint64_t cents;
#define CENTS_MAX 999999999999u
#define NUMBER_MAX 9007199254740991u

static bool digits(const char *at, size_t len, size_t most, cents *sum) {
    if (len < 1 || len > most) return false;
    for (*sum = 0; len; at++, len--) {
        if (*at < '0' || *at > '9') return false;
        *sum = *sum * 10 + (cents)(*at - '0');
    }
    return true;
}

/* Up to ten digits, and up to two more behind a point. */
static bool parse_cents(as_text text, cents *amount) {
    size_t point = 0;
    while (point < text.len && text.at[point] != '.') point++;
    cents whole, part = 0;
    if (!digits(text.at, point, 10, &whole)) return false;
    if (point < text.len) {
        size_t len = text.len - point - 1;
        if (!digits(text.at + point + 1, len, 2, &part)) return false;
        if (len == 1) part *= 10;
    }
    *amount = whole * 100 + part;
    return true;
}

static bool read_cents(as_json value, cents *amount) {
    as_text text;
    if (as_json_text(value, &text)) return parse_cents(text, amount);
    double number;
    if (!as_json_double(value, &number)) return false;
    double rounded = round(number * 100.0);
    /* Division rounds correctly, so exactly the numbers written with two decimals come back. */
    if (rounded / 100.0 != number || rounded < 0 || rounded > CENTS_MAX) return false;
    *amount = (cents)rounded;
    return true;
}

/* Text, or a whole number that every language reads exactly. */
static bool read_name(as_json value, as_text *name) {
    if (as_json_text(value, name)) return true;
    double number;
    if (!as_json_double(value, &number)) return false;
    if (number != trunc(number) || number < 0 || number > NUMBER_MAX) return false;
    *name = as_decimal((uint64_t)number);
    return true;
}

static as_text show(cents amount) {
    return AS_CONCAT(as_decimal(amount / 100), AS("."), as_decimal(amount / 10 % 10),
                     as_decimal(amount % 10));
}

/* ---- State ---- */

typedef struct {
    cents increment;
    bool opened, has_highest, closed;
    cents opening, amount;
    as_text bidder;
    uint64_t highest_seq, closed_seq;
} state;

static void *init(as_text scope, const as_bytes *config, as_text *why_not) {
    (void)scope;
    cents increment = 1;
    if (config) {
        as_json object, value;
        as_text name;
        *why_not = AS("the configuration of auction is wrong: it is like {\"increment\": \"0.50\"}");
        if (!as_json_parse(*config, &object) || object.type != AS_JSON_OBJECT) return NULL;
        for (size_t place = 0; as_json_next(object, &place, &name, &value);) {
            if (!as_is(name, "increment") || !read_cents(value, &increment)) return NULL;
        }
    }
    state *s = calloc(1, sizeof *s);
    if (s) s->increment = increment ? increment : 1;
    return s;
}

static void drop(void *of) {
    state *s = of;
    free((void *)s->bidder.at);
    free(s);
}

static void save(const void *of, as_writer *to) {
    const state *s = of;
    as_put_u64(to, s->increment);
    as_put_bool(to, s->opened);
    as_put_u64(to, s->opening);
    as_put_bool(to, s->has_highest);
    as_put_u64(to, s->amount);
    as_put_text(to, s->bidder);
    as_put_u64(to, s->highest_seq);
    as_put_bool(to, s->closed);
    as_put_u64(to, s->closed_seq);
}

static void *load(as_reader *from) {
    state *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->increment = as_get_u64(from);
    s->opened = as_get_bool(from);
    s->opening = as_get_u64(from);
    s->has_highest = as_get_bool(from);
    s->amount = as_get_u64(from);
    s->bidder = as_keep(as_get_text(from));
    s->highest_seq = as_get_u64(from);
    s->closed = as_get_bool(from);
    s->closed_seq = as_get_u64(from);
    return s;
}

/* ---- Payloads ---- */

/* A bid, or a command: the amount is then the most. */
typedef struct { as_text bidder; cents amount; bool has_opening; cents opening; } bid;

static bool read_object(as_bytes payload, as_json *object) {
    return as_json_parse(payload, object) && object->type == AS_JSON_OBJECT;
}

static bool read_open(as_bytes payload, cents *opening) {
    as_json object;
    return read_object(payload, &object) && read_cents(as_json_get(object, "opening"), opening);
}

static bool read_bid(as_bytes payload, const char *amount, bool may_open, bid *b) {
    as_json object;
    if (!read_object(payload, &object)) return false;
    if (!read_name(as_json_get(object, "bidder"), &b->bidder)) return false;
    if (!read_cents(as_json_get(object, amount), &b->amount)) return false;
    as_json opening = as_json_get(object, "opening");
    b->has_opening = may_open && opening.type != AS_JSON_NONE && opening.type != AS_JSON_NULL;
    return !b->has_opening || read_cents(opening, &b->opening);
}

static void apply(void *of, const as_event *event) {
    state *s = of;
    bid b;
    cents opening;
    if (as_is(event->kind, "open")) {
        if (!read_open(event->payload, &opening) || s->opened) return;
        s->opened = true;
        s->opening = opening;
    } else if (as_is(event->kind, "bid")) {
        if (!read_bid(event->payload, "amount", true, &b)) return;
        if (!s->opened && b.has_opening) {
            s->opened = true;
            s->opening = b.opening;
        }
        free((void *)s->bidder.at);
        s->bidder = as_keep(b.bidder);
        s->has_highest = true;
        s->amount = b.amount;
        s->highest_seq = event->seq;
    } else if (as_is(event->kind, "close")) {
        s->closed = true;
        s->closed_seq = event->seq;
    }
}

/* ---- Verdicts ---- */

static as_verdict malformed(const as_proposal *proposal, const char *example) {
    return as_reject("malformed",
        AS_CONCAT(AS("the payload of \""), proposal->kind, AS("\" is malformed; it is like "),
            as_text_of(example),
            AS(", with amounts from 0 to 9999999999.99 and at most two decimals")));
}

/* Refuses an amount that is not enough. */
static as_verdict check(const state *s, cents amount, cents opening) {
    if (amount < opening) {
        return as_reject("below-opening", AS_CONCAT(AS("the opening bid is "), show(opening)));
    }
    cents least = s->amount + s->increment;
    if (!s->has_highest || amount >= least) return as_accept();
    as_verdict no = as_reject("too-low",
        AS_CONCAT(AS("the highest bid is "), show(s->amount), AS("; bid at least "), show(least)));
    no = as_with_seq(no, s->highest_seq);
    return as_with_data(no,
        as_bytes_of(AS_CONCAT(AS("{\"least\":\""), show(least), AS("\"}"))));
}

/* Bids the least that is enough, if that is not more than the most. */
static as_verdict outbid(const state *s, const bid *command) {
    cents opening = s->opened ? s->opening : 0;
    as_verdict checked = check(s, command->amount, opening);
    if (!checked.accepted) return checked;
    cents least = s->has_highest ? s->amount + s->increment : 0;
    if (least < opening) least = opening;
    as_text json = AS_CONCAT(AS("{\"bidder\":"), as_json_quote(command->bidder),
                             AS(",\"amount\":\""), show(least), AS("\"}"));
    as_new_event *event = as_alloc(sizeof *event);
    *event = as_json_event("bid", json);
    return as_with_meta(as_accept_instead(event, 1), as_bytes_of(json));
}

static as_verdict validate(const void *of, const as_proposal *proposal) {
    const state *s = of;
    bid b;
    cents opening;
    if (s->closed) {
        return as_with_seq(as_reject("closed", AS("the auction is closed")), s->closed_seq);
    }
    if (as_is(proposal->kind, "open")) {
        if (!read_open(proposal->payload, &opening)) {
            return malformed(proposal, "{\"opening\": \"95.00\"}");
        }
        if (s->opened || s->has_highest) {
            return as_reject("already-open", AS("the opening bid is already fixed"));
        }
        return as_accept();
    }
    if (as_is(proposal->kind, "bid")) {
        if (!read_bid(proposal->payload, "amount", true, &b)) {
            return malformed(proposal, "{\"bidder\": \"ann\", \"amount\": \"95.50\"}");
        }
        return check(s, b.amount, s->opened ? s->opening : b.has_opening ? b.opening : 0);
    }
    if (as_is(proposal->kind, "outbid")) {
        if (!read_bid(proposal->payload, "most", false, &b)) {
            return malformed(proposal, "{\"bidder\": \"ann\", \"most\": \"120.00\"}");
        }
        return outbid(s, &b);
    }
    if (as_is(proposal->kind, "close")) {
        return as_with_reason(as_accept(), s->has_highest
            ? AS_CONCAT(AS("sold to "), s->bidder, AS(" for "), show(s->amount))
            : AS("nobody bid"));
    }
    return as_unknown_kind(proposal);
}

static bool query(const void *of, as_text name, as_bytes args, as_text *answer, as_text *why_not) {
    const state *s = of;
    (void)args;
    if (!as_is(name, "highest")) {
        *why_not = AS_CONCAT(AS("the auction has no query \""), name, AS("\", but \"highest\""));
        return false;
    }
    *answer = !s->has_highest ? AS("null")
        : AS_CONCAT(AS("{\"amount\":\""), show(s->amount), AS("\",\"bidder\":"),
                    as_json_quote(s->bidder), AS(",\"seq\":"), as_decimal(s->highest_seq), AS("}"));
    return true;
}

#define AMOUNT "{\"type\":[\"number\",\"string\"]}"
#define NAME "{\"type\":[\"string\",\"number\"]}"
static const as_kind kinds[] = {
    { "open", "{\"type\":\"object\",\"required\":[\"opening\"],\"properties\":{\"opening\":" AMOUNT "}}" },
    { "bid", "{\"type\":\"object\",\"required\":[\"bidder\",\"amount\"],\"properties\":{\"bidder\":" NAME
             ",\"amount\":" AMOUNT ",\"opening\":" AMOUNT "}}" },
    { "outbid", "{\"type\":\"object\",\"required\":[\"bidder\",\"most\"],\"properties\":{\"bidder\":" NAME
                ",\"most\":" AMOUNT "}}" },
    { "close", NULL },
};

AS_VALIDATOR(
    .name = "auction", .version = "1.0.0", .kinds = kinds, .kinds_len = 4,
    .init = init, .drop = drop, .apply = apply, .validate = validate,
    .save = save, .load = load, .query = query);
