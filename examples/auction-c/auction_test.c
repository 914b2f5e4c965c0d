/* The rules, natively. examples/auction-cases.txt has many more cases; the store's sandbox plays them. */
#include "atomic_store_test.h"

static void a_bid_must_beat_the_highest(void) {
    as_scope *auction = as_scope_new(NULL);
    AS_ANSWERS(auction, "null", "highest");
    AS_ACCEPTED(auction, "bid", "{\"bidder\":\"jake\",\"amount\":95.00,\"opening\":95}");
    AS_REJECTED(auction, "below-opening", "bid", "{\"bidder\":\"dave\",\"amount\":\"94.99\"}");
    AS_ACCEPTED(auction, "bid", "{\"bidder\":11860256,\"amount\":\"115\"}");
    AS_REJECTED(auction, "too-low", "bid", "{\"bidder\":\"glad\",\"amount\":115}");
    as_check_same(as_last_message(auction), "the highest bid is 115.00; bid at least 115.01", AS_WHERE);
    AS_ANSWERS(auction, "{\"amount\":\"115.00\",\"bidder\":\"11860256\",\"seq\":2}", "highest");
    AS_ANSWERS(auction, NULL, "lowest");
    AS_ACCEPTED(auction, "close", "");
    AS_REJECTED(auction, "closed", "close", "");
    as_scope_free(auction);
}

static void a_batch_sees_its_earlier_members_and_commands_become_bids(void) {
    as_scope *auction = as_scope_new("{\"increment\":\"0.50\"}");
    const char *outbid = "{\"bidder\":\"ann\",\"most\":1}";
    const char *four[] = { "outbid", outbid, "outbid", outbid, "outbid", outbid, "outbid", outbid };
    size_t index;
    as_check_same(as_propose_all(auction, four, 4, &index), "too-low", AS_WHERE);
    AS_CHECK(index == 3);
    as_check_same(as_propose_all(auction, four, 3, &index), NULL, AS_WHERE);
    AS_ANSWERS(auction, "{\"amount\":\"1.00\",\"bidder\":\"ann\",\"seq\":3}", "highest");
    as_scope_free(auction);
}

static void configurations_that_are_declined(void) {
    const char *wrong[] = { "", "null", "[]", "{\"step\":1}", "{\"increment\":\"0.005\"}", "\xff" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) AS_CHECK(!as_scope_new(wrong[i]));
}

int main(void) {
    a_bid_must_beat_the_highest();
    a_batch_sees_its_earlier_members_and_commands_become_bids();
    configurations_that_are_declined();
    return 0;
}
