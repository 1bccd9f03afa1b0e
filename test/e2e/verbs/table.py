# SPDX-License-Identifier: Apache-2.0
"""The table that test/verbs prints, and its closing line."""


class Table:
    """Rows of counts; a row may tell a figure, and below it what went wrong."""

    def __init__(self):
        self.counts = {"ok": 0, "fail": 0, "skip": 0}
        self.evidence = tuple  # returns lines that go below a row that failed

    def row(self, name, ok=0, fail=0, skip=0, note="", below=()):
        for key, n in (("ok", ok), ("fail", fail), ("skip", skip)):
            self.counts[key] += n
        line = f"  {name:<34} {ok:4} passed {fail:4} failed {skip:4} skipped"
        print(f"{line}   {note}".rstrip(), flush=True)
        for text in (*below, *(self.evidence() if fail else ())):
            print(f"      {text}", flush=True)

    def close(self, report=False):
        """The exit code. The report is in the form of Boost.Test's, which test/check counts."""
        total = sum(self.counts.values())
        if report:
            for key, word in (("ok", "passed"), ("fail", "failed"), ("skip", "skipped")):
                print(f"  {self.counts[key]} test cases out of {total} {word}")
        print(f"\n{self.counts['ok']} passed, {self.counts['fail']} failed, "
              f"{self.counts['skip']} skipped")
        return 1 if self.counts["fail"] or not self.counts["ok"] else 0
