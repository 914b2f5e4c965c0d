"""Sentences within the caps of the contract.

What must stay true: text that leaves here is well-formed and at most 1,024 bytes, because it often quotes
untrusted input, and an answer over a cap counts as a fault of the validator.
"""

_BYTES_MAX = 1024
_MARK = " ..."


def shorten(text: str) -> str:
    """Cuts a sentence to the cap, between characters, and shows that it was cut."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= _BYTES_MAX:
        return encoded.decode()
    return encoded[: _BYTES_MAX - len(_MARK)].decode("utf-8", "ignore") + _MARK
