"""An English auction, as in ``examples/auction``, which says what the events are: the same rules, and the
same verdicts, byte for byte."""

from collections.abc import Callable
from typing import Any, TypeVar

from atomic_store_guest import (
    Event,
    Malformed,
    Payload,
    Proposal,
    Rejection,
    Validator,
    Verdict,
    accept,
    accept_instead,
    export,
    log,
    new_event,
    reject,
)
from fields import WrongField, cents, fields, money, name, optional_cents

T = TypeVar("T")

_AMOUNT = {"type": ["number", "string"]}
_BIDDER = {"type": ["string", "number"]}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties}


class Auction(Validator):
    """The rules."""

    name = "auction"
    version = "1.0.0"
    kinds = [
        ("open", _object(["opening"], opening=_AMOUNT)),
        ("bid", _object(["bidder", "amount"], bidder=_BIDDER, amount=_AMOUNT, opening=_AMOUNT)),
        ("outbid", _object(["bidder", "most"], bidder=_BIDDER, most=_AMOUNT)),
        "close",
    ]

    @classmethod
    def configure(cls, value: Any) -> int:
        known = {"increment": 0}
        given = {} if value is None else fields(value)
        for field in given.keys() - known.keys():
            raise WrongField(f"there is no {field} to configure")
        return max(1, cents((known | given)["increment"]))

    def __init__(self, scope: str, config: int) -> None:
        self.increment = config
        self.opening: int | None = None
        self.highest: dict[str, Any] | None = None
        self.closed: int | None = None

    def apply(self, event: Event) -> None:
        match event.kind:
            case "open":
                opening = attempt(lambda: read_open(event))
                self.opening = opening if self.opening is None else self.opening
            case "bid":
                bid = attempt(lambda: read_bid(event))
                if bid is not None:
                    bidder, amount, opening = bid
                    self.opening = opening if self.opening is None else self.opening
                    self.highest = {"amount": amount, "bidder": bidder, "seq": event.seq}
            case "close":
                self.closed = event.seq

    def validate(self, proposal: Proposal) -> Verdict:
        if self.closed is not None:
            return reject("closed", "the auction is closed").with_seqs(self.closed)
        match proposal.kind:
            case "open":
                read(proposal, read_open, '{"opening": "95.00"}')
                if self.opening is not None or self.highest is not None:
                    return reject("already-open", "the opening bid is already fixed")
                return accept()
            case "bid":
                example = '{"bidder": "ann", "amount": "95.50"}'
                _, amount, opening = read(proposal, read_bid, example)
                opening = opening if self.opening is None else self.opening
                return self.refusal(amount, opening) or accept()
            case "outbid":
                example = '{"bidder": "ann", "most": "120.00"}'
                return self.outbid(*read(proposal, read_outbid, example))
            case "close":
                if self.highest is None:
                    return accept().because("nobody bid")
                bidder, amount = self.highest["bidder"], self.highest["amount"]
                return accept().because(f"sold to {bidder} for {money(amount)}")
            case _:
                return self.unknown_kind(proposal)

    def query(self, name: str, args: Payload) -> Any:
        if name != "highest":
            raise ValueError(f'the auction has no query "{name}", but "highest"')
        highest = self.highest
        return None if highest is None else highest | {"amount": money(highest["amount"])}

    def refusal(self, amount: int, opening: int | None) -> Rejection | None:
        """Why an amount is not enough; nothing if it is."""
        if amount < (opening or 0):
            return reject("below-opening", f"the opening bid is {money(opening or 0)}")
        if self.highest is None or amount >= self.highest["amount"] + self.increment:
            return None
        least = money(self.highest["amount"] + self.increment)
        message = f"the highest bid is {money(self.highest['amount'])}; bid at least {least}"
        refused = reject("too-low", message).with_data({"least": least})
        return refused.with_seqs(self.highest["seq"])

    def outbid(self, bidder: str, most: int) -> Verdict:
        """Bids the least that is enough."""
        if refused := self.refusal(most, self.opening):
            return refused
        least = self.opening or 0
        if self.highest is not None:
            least = max(least, self.highest["amount"] + self.increment)
        placed = {"bidder": bidder, "amount": money(least)}
        return accept_instead(new_event("bid", placed)).with_meta(placed)


def read_open(payload: Payload) -> int:
    return cents(payload.fields().get("opening"))


def read_bid(payload: Payload) -> tuple[str, int, int | None]:
    bid = payload.fields()
    return name(bid.get("bidder")), cents(bid.get("amount")), optional_cents(bid.get("opening"))


def read_outbid(payload: Payload) -> tuple[str, int]:
    command = payload.fields()
    return name(command.get("bidder")), cents(command.get("most"))


def attempt(reader: Callable[[], T]) -> T | None:
    """What the reader finds; nothing if the payload is something else."""
    try:
        return reader()
    except (Malformed, WrongField):
        return None


def read(proposal: Proposal, reader: Callable[[Payload], T], example: str) -> T:
    """What the reader finds; or a rejection that shows what the payload should be."""
    try:
        return reader(proposal)
    except (Malformed, WrongField) as error:
        log.debug(error)
    raise reject(
        "malformed",
        f'the payload of "{proposal.kind}" is malformed; it is like {example}, with amounts from 0 to '
        "9999999999.99 and at most two decimals",
    )


Rules = export(Auction)
