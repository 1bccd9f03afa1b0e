#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the tests of this repository phase by phase and adds up their cases.

A phase is one `bazel` command. What happened is read from Bazel's event file, and for
each Boost.Test binary from the report at the end of its log, so that what is counted
are cases and not binaries. A binary that ends without a report (a crash, a time-out),
a target that does not build and a tree that does not load are failures; a skipped case
is neither passed nor failed.
"""

import argparse
import collections
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Boost.Test's short report: "3 test cases out of 5 passed", also "... skipped".
REPORT_LINE = re.compile(
    r"^\s*(\d+) test cases? out of \d+ (passed with warnings|passed|failed|skipped|aborted)"
)
# What Boost.Test says first; a log with this and no report is of one that vanished.
START_LINE = re.compile(r"^Running \d+ test cases?\.\.\.$", re.MULTILINE)

Counts = collections.namedtuple("Counts", "passed failed skipped")
NOTHING = Counts(0, 0, 0)


def add(left, right):
    return Counts(*(a + b for a, b in zip(left, right)))


def plural(counts):
    return f"{counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped"


def report_counts(log):
    """Cases told by the reports in a test's log; None if it is not a Boost.Test log."""
    found = None
    for line in log.splitlines():
        match = REPORT_LINE.match(line)
        if not match:
            continue
        number, what = int(match.group(1)), match.group(2)
        # "aborted" repeats cases that "failed" already counts.
        field = {"passed": "passed", "passed with warnings": "passed", "failed": "failed",
                 "skipped": "skipped"}.get(what)
        found = found or NOTHING
        if field:
            found = found._replace(**{field: getattr(found, field) + number})
    if found is None and START_LINE.search(log):
        return Counts(0, 1, 0)
    return found


def test_counts(passed, logs):
    """Counts of one test target from Bazel's verdict and its logs."""
    reports = [counts for counts in map(report_counts, logs) if counts is not None]
    if not reports:
        return Counts(1, 0, 0) if passed else Counts(0, 1, 0)
    total = NOTHING
    for counts in reports:
        total = add(total, counts)
    if not passed and total.failed == 0:
        total = total._replace(failed=1)
    return total


def read_file(uri):
    path = urllib.parse.unquote(urllib.parse.urlparse(uri).path)
    with open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read()


class Events:
    """What one Bazel command did, from its build event file."""

    def __init__(self, lines):
        self.summaries = {}
        self.logs = collections.defaultdict(list)
        self.broken = set()
        for line in lines:
            event = json.loads(line)
            ident = event.get("id", {})
            if "testSummary" in ident:
                status = event.get("testSummary", {}).get("overallStatus")
                self.summaries[ident["testSummary"]["label"]] = status
            elif "testResult" in ident:
                for output in event.get("testResult", {}).get("testActionOutput", []):
                    if output.get("name") == "test.log":
                        self.logs[ident["testResult"]["label"]].append(output["uri"])
            elif "targetCompleted" in ident:
                if not event.get("completed", {}).get("success"):
                    self.broken.add(ident["targetCompleted"]["label"])

    def results(self):
        """Yields (label, counts) of each test and of each target that does not build."""
        for label in sorted(self.broken | set(self.summaries)):
            if label in self.broken and not self.logs[label]:
                yield label, Counts(0, 1, 0)
                continue
            passed = self.summaries.get(label) == "PASSED"
            yield label, test_counts(passed, [read_file(uri) for uri in self.logs[label]])


class Check:
    def __init__(self):
        self.total = NOTHING
        self.failures = []
        self.started = time.monotonic()

    def say(self, text):
        minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
        print(f"[{minutes:2}:{seconds:02}] {text}", flush=True)

    def count(self, label, counts):
        self.total = add(self.total, counts)
        if counts.failed:
            self.failures.append(f"{label}: {plural(counts)}")

    def bazel_test(self, title, arguments):
        self.say(f"== {title}")
        with tempfile.NamedTemporaryFile("r", suffix=".json") as events_file:
            command = ["bazel", "test", "--keep_going", "--nocache_test_results",
                       "--curses=no", "--color=no", "--show_progress_rate_limit=30",
                       "--test_summary=none", f"--build_event_json_file={events_file.name}",
                       *arguments]
            status = subprocess.run(command, cwd=ROOT, check=False).returncode
            events = Events(events_file)
        phase = NOTHING
        for label, counts in events.results():
            self.say(f"   {label}: {plural(counts)}")
            self.count(label, counts)
            phase = add(phase, counts)
        # Bazel fails for reasons that no target tells (a BUILD file with an error), and
        # a phase that runs nothing proves nothing.
        if phase.failed == 0 and (status != 0 or phase == NOTHING):
            self.count(f"{title} (bazel exit code {status})", Counts(0, 1, 0))
            phase = phase._replace(failed=1)
        self.say(f"== {title}: {plural(phase)}")

    def tagged(self, tag):
        query = f'attr(tags, "[\\[ ]{tag}[,\\]]", //...)'
        done = subprocess.run(["bazel", "query", "--noshow_progress", query], cwd=ROOT,
                              check=False, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            self.count(f"bazel query {query}", Counts(0, 1, 0))
        return done.stdout.split()

    def bazel_run(self, title, arguments, counted):
        self.say(f"== {title}")
        command = ["bazel", "run", "--curses=no", "--color=no", "--noshow_progress", *arguments]
        passed = subprocess.run(command, cwd=ROOT, check=False).returncode == 0
        if counted or not passed:
            self.count(title, Counts(int(passed), int(not passed), 0))
        self.say(f"== {title}: {'ok' if passed else 'failed'}")

    def finish(self):
        for failure in self.failures:
            print(f"FAILED {failure}")
        self.say("done")
        print(plural(self.total), flush=True)
        return 1 if self.total.failed or not self.total.passed else 0


PHASES = ("unit", "sanitizers", "module", "fuzz", "benchmark", "lab")


def main():
    parser = argparse.ArgumentParser(prog="test/check", description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true",
                        help="the full matrix and ten minutes of fuzzing per target")
    parser.add_argument("--only", choices=PHASES, action="append", metavar="PHASE",
                        help=f"this phase only (may be repeated): {', '.join(PHASES)}")
    options = parser.parse_args()
    wanted = options.only or PHASES
    check = Check()

    if "unit" in wanted:
        check.bazel_test("core, daemon and lab units", ["--config=fast", "//..."])
    if "sanitizers" in wanted:
        check.bazel_test("the same with address and undefined-behaviour sanitizers",
                         ["--config=fast", "--config=asan", "--config=ubsan",
                          "--build_tests_only", "//..."])
    if "module" in wanted:
        check.bazel_test("module against both kernels",
                         ["--build_tests_only", "--test_tag_filters=kbuild,-lab", "//..."])
    if "fuzz" in wanted:
        seconds = 600 if options.all else 60
        for target in check.tagged("fuzz"):
            check.bazel_run(f"fuzz {target}, {seconds} s",
                            ["--config=fuzz", target, "--", f"-max_total_time={seconds}",
                             "-print_final_stats=1"], counted=True)
    if "benchmark" in wanted:
        for target in check.tagged("benchmark"):
            check.bazel_run(f"benchmark {target}", [target], counted=False)
    if "lab" in wanted:
        tags = "lab" if options.all else "lab,-full"
        more = ["--test_env=TBIB_TEST_ALL=1"] if options.all else []
        check.bazel_test("end to end, in the lab",
                         ["--build_tests_only", f"--test_tag_filters={tags}", *more, "//..."])
    return check.finish()


if __name__ == "__main__":
    sys.exit(main())
