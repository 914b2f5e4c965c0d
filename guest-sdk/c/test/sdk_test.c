/* The SDK's own parts: JSON, snapshots, sentences. */
#include "atomic_store_test.h"

#include <stdlib.h>
#include <string.h>

static bool is_json(const char *text, size_t len) {
    /* A copy without a zero behind it, so that a read beyond the end is found. */
    char *copy = malloc(len ? len : 1);
    memcpy(copy, text, len);
    as_json value;
    bool found = as_json_parse((as_bytes){ (const uint8_t *)copy, len }, &value);
    free(copy);
    return found;
}

static void json_is_strict(void) {
    const char *good[] = { "0", "-0", "1.5e-3", " [ ] ", "{}", "[1,[2],{\"a\":null}]", "\"\\ud83d\\ude00\"",
        "\"\xf0\x9f\x98\x80\"", "true", "\"\\u0000\"", "1e400" };
    const char *bad[] = { "", " ", "01", "+1", ".5", "5.", "1e", "-", "tru", "nul", "[1,]", "[,1]", "{\"a\"}",
        "{\"a\":}", "{\"a\":1,}", "{a:1}", "1 2", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"", "\"\\udc00\"",
        "\"\\ud800\\u0041\"", "\"\n\"", "\"", "\"\xff\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "\"\xe2\x82\"",
        "NaN", "\xef\xbb\xbf{}", "[", "{", "{\"a\":1", "[1" };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        as_check(is_json(good[i], strlen(good[i])), good[i]);
        /* No cut of it reads beyond its end. */
        for (size_t len = 0; len < strlen(good[i]); len++) (void)is_json(good[i], len);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) as_check(!is_json(bad[i], strlen(bad[i])), bad[i]);

    char deep[258];
    memset(deep, '[', 129);
    memset(deep + 129, ']', 129);
    AS_CHECK(!is_json(deep, 258));
    AS_CHECK(is_json(deep + 1, 256));
}

static void fields_are_found_and_values_are_read(void) {
    as_json object, list;
    as_text text;
    uint64_t number;
    double real;
    bool boolean;
    const char *json = "{\"\\u0061\":\"\\u00e4\\ud83d\\ude00\\n\",\"n\":18446744073709551615,\"r\":-2.5,\"t\":true,"
                       "\"l\":[1,[2,3],4],\"twice\":1,\"twice\":2,\"over\":18446744073709551616}";
    AS_CHECK(as_json_parse(as_bytes_of(as_text_of(json)), &object));
    AS_CHECK(as_json_text(as_json_get(object, "a"), &text) && as_is(text, "\xc3\xa4\xf0\x9f\x98\x80\n"));
    AS_CHECK(as_json_u64(as_json_get(object, "n"), &number) && number == UINT64_MAX);
    AS_CHECK(!as_json_u64(as_json_get(object, "over"), &number));
    AS_CHECK(!as_json_u64(as_json_get(object, "r"), &number));
    AS_CHECK(as_json_double(as_json_get(object, "r"), &real) && real == -2.5);
    AS_CHECK(as_json_bool(as_json_get(object, "t"), &boolean) && boolean);
    AS_CHECK(as_json_get(object, "twice").type == AS_JSON_TWICE);
    AS_CHECK(as_json_get(object, "none").type == AS_JSON_NONE);
    list = as_json_get(object, "l");
    AS_CHECK(as_json_u64(as_json_at(list, 2), &number) && number == 4);
    AS_CHECK(as_json_u64(as_json_at(as_json_at(list, 1), 0), &number) && number == 2);
    AS_CHECK(as_json_at(list, 3).type == AS_JSON_NONE && as_json_at(object, 0).type == AS_JSON_NONE);
    as_json huge;
    AS_CHECK(as_json_parse(as_bytes_of(AS("1e400")), &huge) && !as_json_double(huge, &real));
    AS_CHECK(as_is(as_json_quote(AS("\"\\/\b\x01\x7f\xc3\xa4")), "\"\\\"\\\\/\\b\\u0001\x7f\xc3\xa4\""));
    as_end_call();
}

static void snapshots_read_back_or_fail(void) {
    as_writer to = { NULL, 0, 0 };
    as_put_u64(&to, UINT64_MAX - 1);
    as_put_bool(&to, true);
    as_put_text(&to, AS("abc"));
    for (size_t len = 0; len <= to.len; len++) {
        as_reader from = { to.at, len, false };
        uint64_t number = as_get_u64(&from);
        bool boolean = as_get_bool(&from);
        as_text text = as_get_text(&from);
        AS_CHECK(from.failed == (len < to.len));
        if (!from.failed) AS_CHECK(number == UINT64_MAX - 1 && boolean && as_is(text, "abc"));
    }
    as_reader lying = { (const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff", 8, false };
    AS_CHECK(as_get_text(&lying).len == 0 && lying.failed);
    as_end_call();
}

static void sentences_keep_the_cap_and_are_cut_between_characters(void) {
    char wide[1400];
    for (size_t i = 0; i < sizeof wide; i += 2) memcpy(wide + i, "\xc3\xa4", 2);
    as_verdict no = as_reject("long", (as_text){ wide, sizeof wide });
    AS_CHECK(no.reasons->message.len == 1024);
    no = as_reject("odd", AS_CONCAT(AS("x"), ((as_text){ wide, sizeof wide })));
    AS_CHECK(no.reasons->message.len == 1023 && no.reasons->message.at[1018] == '\xa4');
    no = as_with_seq(as_with_seq(as_and_reject(no, "b", AS("two")), 3), 4);
    AS_CHECK(no.reasons->seqs_len == 2 && no.reasons->seqs[1] == 4 && no.reasons->earlier->seqs_len == 0);
    as_end_call();
}

static void memory_of_a_call_is_apart_aligned_and_grows(void) {
    for (int round = 0; round < 3; round++) {
        uint8_t *last = NULL;
        for (size_t size = 1; size < 300000; size = size * 3 + 1) {
            uint8_t *at = as_alloc(size);
            AS_CHECK((uintptr_t)at % 16 == 0 && at != last && at[0] == 0 && at[size - 1] == 0);
            memset(at, 0xff, size);
            last = at;
        }
        as_end_call();
    }
}

/* The least rules, because the SDK wants some. */
static void *init(as_text scope, const as_bytes *config, as_text *why_not) {
    (void)scope; (void)config; (void)why_not;
    return calloc(1, 1);
}
static void apply(void *state, const as_event *event) { (void)state; (void)event; }
static as_verdict validate(const void *state, const as_proposal *p) {
    (void)state;
    /* A look at history instead of a fold. */
    as_events past = as_history_read(0, 10);
    return past.len < 2 ? as_accept() : as_unknown_kind(p);
}
AS_VALIDATOR(.name = "least", .version = "1.0.0", .init = init, .drop = free, .apply = apply,
             .validate = validate, .no_snapshots = true);

int main(void) {
    json_is_strict();
    fields_are_found_and_values_are_read();
    snapshots_read_back_or_fail();
    sentences_keep_the_cap_and_are_cut_between_characters();
    memory_of_a_call_is_apart_aligned_and_grows();
    as_scope *scope = as_scope_new(NULL);
    AS_ACCEPTED(scope, "a", "");
    as_given(scope, "b", "");
    AS_REJECTED(scope, "unknown-kind", "c", "");
    AS_ANSWERS(scope, NULL, "any");
    as_scope_free(scope);
    return 0;
}
