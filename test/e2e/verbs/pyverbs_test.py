#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""pyverbs: results against the list of skips, in both directions."""

import collections
import unittest

import pyverbs

LIST = """# comment
No pigs fly: wings

  test_pd.Pen.test_open
  7.3: test_pd.Pen.test_new
  rxe@7.3 test_pd.Pen.test_fly
  rxe@6.12 7.3: test_pd.Pen.test_sing
of wood: mended later
  <64 test_pd.Pen.test_lock
""".splitlines()
OPEN, FLY, LOCK = "test_pd.Pen.test_open", "test_pd.Pen.test_fly", "test_pd.Pen.test_lock"
SKIPPED, PASSED = ("skip", "No pigs fly here"), ("ok", "")


class List(unittest.TestCase):
    def test_conditions(self):
        wings = ("No pigs fly", False, "skip")
        self.assertEqual(pyverbs.parse_skips(LIST, "6.12", 64), {OPEN: wings, FLY: wings})
        self.assertEqual(pyverbs.parse_skips(LIST, "7.3", 64),
                         {OPEN: wings, "test_pd.Pen.test_new": wings, FLY: ("No pigs fly", True, "skip"),
                          "test_pd.Pen.test_sing": wings})

    def test_what_fails_before_a_release(self):
        listed = [pyverbs.parse_skips(LIST, "6.12", version).get(LOCK) for version in (9, 63, 64, 100)]
        wood = ("of wood", False, "fail")
        self.assertEqual(listed, [wood, wood, None, None])

    def test_the_list_names_each_test_once(self):
        with open(pyverbs.SKIPS, encoding="utf-8") as stream:
            tests = [line.split()[-1] for line in stream if line.startswith(" ")]
        again = [test for test, n in collections.Counter(tests).items() if n > 1]
        self.assertEqual(again, [])

    def test_the_list_names_modules_that_are_run(self):
        for release in ("6.12", "7.3"):
            self.assertEqual(pyverbs.unknown_modules(pyverbs.expected_skips(release, 0)), [])

    def test_a_module_that_is_not_run(self):
        self.assertEqual(len(pyverbs.unknown_modules({"test_pigs.Pen.test_open": ("", False)})), 1)


class Judgement(unittest.TestCase):
    known = {OPEN: pyverbs.Expected("No pigs fly", False), FLY: pyverbs.Expected("No pigs fly", True)}
    good = {OPEN: SKIPPED, FLY: SKIPPED, "test_pd.Pen.test_feed": PASSED}
    rxe = {OPEN: SKIPPED, FLY: PASSED, "test_pd.Pen.test_feed": PASSED}

    def counts(self, ours=None, rxe=None, module="pd"):
        counts, below = pyverbs.judge(module, {**self.good, **(ours or {})},
                                      {**self.rxe, **(rxe or {})}, self.known)
        self.assertEqual(len(below), counts["fail"])
        return counts["ok"], counts["skip"], counts["fail"]

    def test_as_the_list_says(self):
        self.assertEqual(self.counts(), (1, 2, 0))

    def test_a_skip_that_is_not_in_the_list(self):
        self.assertEqual(self.counts({"test_pd.Pen.test_feed": SKIPPED}), (0, 2, 1))

    def test_another_reason(self):
        self.assertEqual(self.counts({OPEN: ("skip", "no fodder")}), (1, 1, 1))

    def test_a_listed_test_that_passes(self):
        self.assertEqual(self.counts({OPEN: PASSED}), (1, 1, 1))

    def test_a_listed_test_that_does_not_run(self):
        ours = {test: result for test, result in self.good.items() if test != OPEN}
        self.assertEqual(pyverbs.judge("pd", ours, self.rxe, self.known)[0]["fail"], 1)

    def test_what_is_listed_of_other_modules_is_not_missed(self):
        ours = {"test_cq.Cow.test_milk": PASSED}
        self.assertEqual(pyverbs.judge("cq", ours, {}, self.known)[0]["fail"], 0)

    def test_rxe_passes_what_is_skipped(self):
        self.assertEqual(self.counts(rxe={OPEN: PASSED}), (1, 1, 1))

    def test_rxe_does_not_pass_what_the_list_says_it_does(self):
        self.assertEqual(self.counts(rxe={FLY: SKIPPED}), (1, 1, 1))

    def test_rxe_passes_what_does_not_run(self):
        ours = {OPEN: SKIPPED, FLY: SKIPPED}
        self.assertEqual(pyverbs.judge("pd", ours, self.rxe, self.known)[0]["fail"], 1)

    def test_without_rxe(self):
        self.assertEqual(pyverbs.judge("pd", self.good, {}, self.known)[0]["fail"], 0)

    def test_a_listed_failure(self):
        known = {LOCK: pyverbs.Expected("of wood", False, "fail")}
        for result, counted in ((("fail", "a lock of wood"), "skip"), (("fail", "fell"), "fail"),
                                (("skip", "a lock of wood"), "fail"), (PASSED, "fail")):
            counts, below = pyverbs.judge("pd", {LOCK: result}, {}, known)
            self.assertEqual((counts[counted], sum(counts.values())), (1, 1), result)
            self.assertEqual(len(below), counts["fail"])

    def test_failures_and_silence(self):
        self.assertEqual(self.counts({OPEN: ("fail", "fell")}), (1, 1, 1))
        self.assertEqual(pyverbs.judge("cq", {}, {}, self.known)[0]["fail"], 1)


if __name__ == "__main__":
    unittest.main()
