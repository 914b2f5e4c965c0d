package main

import (
	"testing"

	guest "atomic-store.example/guest"
)

// examples/auction-cases.txt has many more cases; the store's sandbox plays them.

func auction(t *testing.T, config []byte) *guest.Scope[State] {
	t.Helper()
	scope, err := guest.NewScope(t, Auction{}, config)
	if err != nil {
		t.Fatal(err)
	}
	return scope
}

func expect(t *testing.T, no *guest.Rejection, code string) {
	t.Helper()
	if (no == nil) != (code == "") || (no != nil && no.Reasons[0].Code != code) {
		t.Fatalf("%v, wanted %q", no, code)
	}
}

func TestABidMustBeatTheHighest(t *testing.T) {
	lot := auction(t, nil)
	expect(t, lot.Propose("bid", `{"bidder":"jake","amount":95.00,"opening":95}`), "")
	expect(t, lot.Propose("bid", `{"bidder":"dave","amount":"94.99"}`), "below-opening")
	expect(t, lot.Propose("bid", `{"bidder":11860256,"amount":"115"}`), "")
	expect(t, lot.Propose("bid", `{"bidder":"glad","amount":115}`), "too-low")
	if answer, err := lot.Query("highest", ""); answer != `{"amount":"115.00","bidder":"11860256","seq":2}` {
		t.Fatal(answer, err)
	}
	expect(t, lot.Propose("close", ""), "")
	expect(t, lot.Propose("close", ""), "closed")
}

func TestABatchSeesItsEarlierMembersAndCommandsBecomeBids(t *testing.T) {
	lot := auction(t, []byte(`{"increment":"0.50"}`))
	outbid := guest.Proposal{Kind: "outbid", Payload: []byte(`{"bidder":"ann","most":1}`)}
	index, no := lot.ProposeAll(outbid, outbid, outbid, outbid)
	expect(t, no, "too-low")
	if index != 3 {
		t.Fatal(index)
	}
	_, no = lot.ProposeAll(outbid, outbid, outbid)
	expect(t, no, "")
	if answer, _ := lot.Query("highest", ""); answer != `{"amount":"1.00","bidder":"ann","seq":3}` {
		t.Fatal(answer)
	}
}

func TestConfigurationsThatAreDeclined(t *testing.T) {
	for _, config := range []string{"", "null", "[]", `{"step":1}`, `{"increment":"0.005"}`, "\xff"} {
		if _, err := guest.NewScope(t, Auction{}, []byte(config)); err == nil {
			t.Errorf("taken: %q", config)
		}
	}
}
