"""The SDK, tested natively: what the rules of the examples do not reach."""

import unittest
from collections.abc import Callable
from typing import Any

from atomic_store_guest import (
    Key,
    Proposal,
    Validator,
    accept,
    accept_instead,
    export,
    history,
    log,
    new_event,
    reject,
    to_json,
)
from atomic_store_guest.export import Err
from atomic_store_guest.testing import Harness, proposal
from atomic_store_guest.text import shorten


def rules(judge: Callable[[Any, Proposal], Any], **more: Any) -> type[Validator]:
    """Rules that do as ``judge`` says."""

    class T(Validator):
        name = "t"
        version = "1.0.0"

        def __init__(self, scope: str, config: Any) -> None:
            self.n: Any = 0

        def apply(self, event: Any) -> None:
            self.n += 1

        def validate(self, proposal: Proposal) -> Any:
            return judge(self, proposal)

    for name, value in more.items():
        setattr(T, name, value)
    return T


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


class VerdictTest(unittest.TestCase):
    def test_a_sentence_is_cut_to_1024_bytes_between_characters(self) -> None:
        self.assertEqual(shorten("x" * 1024), "x" * 1024)
        self.assertEqual(shorten("x" * 1025), "x" * 1020 + " ...")
        for wide in "\u00e4\u6771\U0001f600":
            for before in ["", "x", "xx", "xxx"]:
                cut = shorten(before + wide * 1000)
                self.assertLessEqual(len(cut.encode()), 1024)
                self.assertTrue(cut.endswith(wide + " ..."))
        self.assertEqual(shorten("a\ud800b"), "a?b")

    def test_answers_carry_reasons_data_and_meta(self) -> None:
        no = reject("a", "1").with_seqs(1).also(reject("b", "2").with_data({"x": 1}).with_meta("m"))
        reason = Harness(rules(lambda *_: no)).propose("k").rejected("b")
        self.assertEqual((reason.data, reason.seqs), (b'{"x":1}', []))
        yes = Harness(rules(lambda *_: accept().because("why").with_meta(b"\x01")))
        [acceptance] = yes.propose("k").accepted()
        self.assertEqual((acceptance.reason, acceptance.meta), ("why", b"\x01"))

    def test_a_raised_rejection_and_a_payload_that_does_not_decode_are_verdicts(self) -> None:
        def judge(_: Any, it: Proposal) -> Any:
            if it.json() == 1:
                raise reject("one", "it is one")
            return accept()

        scope = Harness(rules(judge))
        scope.propose("k", 1).rejected("one")
        wrong = ["", "{", "NaN", "[-Infinity]", '"\\ud800"', '{"\\udc00":1}', b"\xff"]
        for payload in [*wrong, "[" * 100_000, nested(129), f'{{"x":{nested(128)}}}']:
            scope.propose("k", payload).rejected("malformed")
        strings = '"[[[[{{{{\\\\\\"",' * 100
        for payload in [nested(128), f"[{strings}1]", f"[{'[{}],' * 1000}1]"]:
            scope.propose("k", payload).accepted()
        scope.propose("k", '"\\ud83d\\ude00"').accepted()

    def test_only_an_object_has_fields(self) -> None:
        scope = Harness(rules(lambda _, it: accept().because(str(it.fields()["a"]))))
        self.assertEqual(scope.propose("k", {"a": 1}).accepted()[0].reason, "1")
        for payload in ["[]", "null", "1", '"a"', "{"]:
            scope.propose("k", payload).rejected("malformed")

    def test_json_is_written_without_spaces_and_only_what_the_standard_has(self) -> None:
        self.assertEqual(to_json({"\u00e4": [1, None, "\u2028\x7f\x01"]}), '{"\u00e4":[1,null,"\u2028\x7f\\u0001"]}'.encode())
        for value in [float("nan"), float("inf"), "\ud800"]:
            with self.assertRaises(ValueError):
                to_json(value)
        with self.assertRaises(TypeError):
            to_json({1, 2})

    def test_events_stored_instead_are_folded_numbered_and_seen_by_the_batch(self) -> None:
        def judge(self: Any, it: Proposal) -> Any:
            if it.kind == "two":
                more = new_event("b", b"x", keys=[Key("k", "1")], metadata={"m": "1"})
                return accept_instead(new_event("a", 1), more)
            return accept_instead() if it.kind == "none" else accept().because(f"{self.n} before")

        scope = Harness(rules(judge))
        batch = proposal("two"), proposal("none"), proposal("as-is")
        self.assertEqual(scope.propose_all(*batch).accepted()[2].reason, "2 before")
        numbered = [(event.seq, event.kind) for event in scope.events]
        self.assertEqual(numbered, [(1, "a"), (2, "b"), (3, "as-is")])
        self.assertEqual(scope.events[1].keys, [Key("k", "1")])
        self.assertEqual(scope.events[1].content_type, "application/octet-stream")
        self.assertEqual(scope.events[1].meta("m"), "1")

    def test_rules_may_look_back_instead_of_fold(self) -> None:
        def judge(_: Any, it: Proposal) -> Any:
            seen = sum(event.meta("who") == it.meta("who") for event in history.since(0))
            return accept() if seen < 2 else reject("often", f"{history.head()} events")

        scope = Harness(rules(judge, apply=lambda self, event: None))
        for who in "aba":
            scope.propose("k", metadata={"who": who}).accepted()
        reason = scope.propose("k", metadata={"who": "a"}).rejected("often")
        self.assertEqual(reason.message, "3 events")


class HarnessTest(unittest.TestCase):
    def test_it_finds_rules_that_would_go_wrong_in_the_store(self) -> None:
        calls: list[int] = []

        def count(*_: Any) -> Any:
            calls.append(1)
            return accept().because(str(len(calls)))

        def change(self: Any, _: Proposal) -> Any:
            self.n += 1
            return accept()

        for broken in [rules(count), rules(change)]:
            with self.assertRaises(AssertionError):
                Harness(broken).propose("k")
        with self.assertRaisesRegex(TypeError, "must return"):
            Harness(rules(lambda *_: True)).propose("k")
        for state in [(1, 2), {1: 2}]:

            def init(self: Any, scope: str, config: Any, state: Any = state) -> None:
                self.n = state

            with self.assertRaisesRegex(AssertionError, "does not survive"):
                Harness(rules(accept, __init__=init))

    def test_a_configuration_is_declined_unless_the_rules_take_it(self) -> None:
        with self.assertRaisesRegex(ValueError, "nothing to configure"):
            Harness(rules(accept), config={})

        def init(self: Any, scope: str, config: Any) -> None:
            self.n = [scope, config]

        taking = rules(accept, __init__=init, configure=classmethod(lambda cls, value: value or "none"))
        self.assertEqual(Harness(taking).rules.n, ["test/1", "none"])
        self.assertEqual(Harness(taking, config=[1]).rules.n, ["test/1", [1]])
        for wrong in ["{", "null"]:
            with self.assertRaisesRegex(ValueError, "the configuration of t is wrong"):
                Harness(taking, config=wrong)


class ExportTest(unittest.TestCase):
    def test_what_the_rules_raise_is_told_to_the_log(self) -> None:
        def judge(*_: Any) -> Any:
            raise KeyError("a bug")

        exported = export(rules(judge))()
        exported.init("s/1", None)
        with self.assertRaises(KeyError):
            exported.validate([proposal("k")])
        log.info("more")
        lines = Harness(rules(accept)).take_lines()
        self.assertIn("a bug", lines[0][1])
        self.assertIn("in judge", lines[1][1])
        self.assertEqual(lines[2], ("INFO", "more"))

    def test_refusals_and_errors_are_what_the_contract_has(self) -> None:
        exported = export(rules(lambda *_: reject("no", "never")))()
        exported.init("s/1", None)
        with self.assertRaises(Err) as refused:
            exported.validate([proposal("k")])
        self.assertEqual((refused.exception.value.index, refused.exception.value.meta), (0, None))
        with self.assertRaises(Err) as unknown:
            exported.query("x" * 2000, b"")
        self.assertEqual(len(unknown.exception.value), 1024)

    def test_a_snapshot_that_does_not_fit_is_declined(self) -> None:
        exported = export(rules(accept))()
        exported.init("s/1", None)
        snapshot = exported.snapshot()
        assert snapshot is not None
        exported.restore("s/1", None, snapshot)
        other = export(rules(accept, version="1.0.1"))()
        wrong = [(exported, "s/1", None, snapshot[:end]) for end in range(len(snapshot))]
        wrong += [(exported, "s/2", None, snapshot), (exported, "s/1", b"", snapshot)]
        wrong += [(other, "s/1", None, snapshot), (exported, "s/1", None, b"[" * 100_000)]
        wrong += [(exported, "s/1", None, snapshot.replace(b'{"n":0}', b"7"))]
        for of, scope, config, bytes_ in wrong:
            with self.assertRaises(Err):
                of.restore(scope, config, bytes_)
        self.assertIsNone(self._without_snapshots().snapshot())

    def _without_snapshots(self) -> Any:
        exported = export(rules(accept, snapshots=False))()
        exported.init("s/1", None)
        return exported


if __name__ == "__main__":
    unittest.main()
