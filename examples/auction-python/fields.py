"""The fields of a bid as people and spreadsheets write them: amounts as ``95``, ``95.5`` or ``"95.50"``,
names as text or as a number.

What must stay true: an amount is a whole number of cents from the moment it is read. One that is not (three
decimals, a sign) is refused, never rounded.
"""

import re
from typing import Any

#: 10 billion less a cent: far below 2^53 cents, up to which a number is exact.
CENTS_MAX = 999_999_999_999
#: 2^53 - 1: larger numbers are not exact in every language.
NUMBER_MAX = (1 << 53) - 1

_AMOUNT = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,2}))?")


class WrongField(ValueError):
    """A field that is missing, or not what it should be."""


def fields(value: Any) -> dict[str, Any]:
    """The fields of a JSON object."""
    if not isinstance(value, dict):
        raise WrongField("this is no object")
    return value


def cents(value: Any) -> int:
    """An amount in cents."""
    found = -1
    if isinstance(value, str):
        if parts := _AMOUNT.fullmatch(value):
            found = int(parts[1]) * 100 + int((parts[2] or "0").ljust(2, "0"))
    elif type(value) is int:
        found = value * 100
    elif type(value) is float and 0 <= value < 1e10:
        rounded = round(value * 100)
        # Division rounds correctly, so exactly the numbers written with two decimals come back.
        found = rounded if rounded / 100 == value else -1
    if not 0 <= found <= CENTS_MAX:
        raise WrongField("an amount is from 0 to 9999999999.99 with at most two decimals")
    return found


def optional_cents(value: Any) -> int | None:
    """An amount that may be left out."""
    return None if value is None else cents(value)


def name(value: Any) -> str:
    """Who bids: text, or a whole number that every language reads exactly."""
    if isinstance(value, str):
        return value
    # Many readers of JSON do not tell 7.0 from 7.
    if type(value) in (int, float) and 0 <= value <= NUMBER_MAX and value == int(value):
        return str(int(value))
    raise WrongField("a name is text or a whole number")


def money(amount: int) -> str:
    """An amount as JSON and sentences have it."""
    return f"{amount // 100}.{amount % 100:02}"
