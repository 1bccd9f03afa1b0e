#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check: what test/check counts, from logs and events as the tools write them."""

import json
import os
import tempfile
import unittest

import check

REPORT = """Running 4 test cases...
x.cpp(3): error: in "frame/short": check 1 == 2 has failed

Test module "core" has failed with:
  1 test case out of 4 passed
  1 test case out of 4 passed with warnings
  1 test case out of 4 failed
  1 test case out of 4 skipped
  1 test case out of 4 aborted
  3 assertions out of 9 passed
"""


class ReportCounts(unittest.TestCase):
    def test_counts_cases_not_assertions(self):
        self.assertEqual(check.report_counts(REPORT), (2, 1, 1))

    def test_exit_without_report(self):
        self.assertEqual(check.report_counts("Running 2 test cases...\n"), (0, 1, 0))

    def test_no_report(self):
        self.assertIsNone(check.report_counts("1 assertion out of 1 passed\n"))


class TestCounts(unittest.TestCase):
    def test_a_binary_without_report_is_one_case(self):
        self.assertEqual(check.test_counts(True, ["hello"]), (1, 0, 0))
        self.assertEqual(check.test_counts(False, []), (0, 1, 0))

    def test_a_crash_after_good_cases_is_a_failure(self):
        log = "Test module \"a\" has passed with:\n  2 test cases out of 2 passed\n"
        self.assertEqual(check.test_counts(False, [log]), (2, 1, 0))


class EventsTest(unittest.TestCase):
    def test_labels(self):
        with tempfile.TemporaryDirectory() as folder:
            log = os.path.join(folder, "a log")
            with open(log, "w", encoding="utf-8") as stream:
                stream.write(REPORT)
            events = check.Events(map(json.dumps, [
                {"id": {"testResult": {"label": "//a:t"}}, "testResult": {
                    "testActionOutput": [{"name": "test.log",
                                          "uri": "file://" + log.replace(" ", "%20")}]}},
                {"id": {"testSummary": {"label": "//a:t"}},
                 "testSummary": {"overallStatus": "FAILED"}},
                {"id": {"targetCompleted": {"label": "//a:t"}}, "completed": {"success": True}},
                {"id": {"targetCompleted": {"label": "//a:broken"}}, "aborted": {}},
                {"id": {"targetCompleted": {"label": "//a:lib"}}, "completed": {"success": True}},
            ]))
            self.assertEqual(dict(events.results()),
                             {"//a:t": (2, 1, 1), "//a:broken": (0, 1, 0)})


if __name__ == "__main__":
    unittest.main()
