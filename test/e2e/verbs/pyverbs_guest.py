# SPDX-License-Identifier: Apache-2.0
"""
Runs modules of rdma-core's pyverbs suite in a guest: pyverbs_guest.py FOLDER DEVICE GID SECONDS MODULE...

Each test has a process of its own, so that one that crashes or hangs is one line and no more.
Prints "result<TAB>test<TAB>reason"; tracebacks go to standard error.
"""

import faulthandler
import importlib
import os
import sys
import time
import unittest

folder, device, gid, seconds, *modules = sys.argv[1:]
sys.dont_write_bytecode = True
sys.path[:0] = [folder, os.path.join(folder, "tests")]
sys.argv[1:] = ["--dev", device, "--port", "1", "--gid", gid]
importlib.import_module("args_parser").parser.parse_args()


def say(result, test, why=""):
    name = test.id().replace("tests.", "", 1)
    print(f"{result}\t{name}\t{' '.join(str(why).split())}", flush=True)


class Lines(unittest.TestResult):
    """A line for every end that a test can have, so that none is silent."""

    def addSuccess(self, test):
        say("ok", test)

    def addSkip(self, test, reason):
        say("skip", test, reason)

    def addFailure(self, test, err):
        say("fail", test, err[1])
        sys.stderr.write(self._exc_info_to_string(err, test))

    addError = addFailure

    def addSubTest(self, test, subtest, err):
        if err:
            self.addFailure(subtest, err)

    def addExpectedFailure(self, test, err):
        say("ok", test)

    def addUnexpectedSuccess(self, test):
        say("fail", test, "was expected to fail")


def each(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from each(item)
        else:
            yield item


def run(test):
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        faulthandler.enable()
        test.run(Lines())
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    end = time.monotonic() + int(seconds)
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() > end:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            say("fail", test, f"not through after {seconds} s")
            return
        time.sleep(0.005)
    if status:
        say("fail", test, f"killed by signal {status & 127}" if status & 127
            else f"exit code {status >> 8}")


for module in modules:
    loaded = importlib.import_module("tests." + module)
    for case in each(unittest.defaultTestLoader.loadTestsFromModule(loaded)):
        run(case)
