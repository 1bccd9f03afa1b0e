# SPDX-License-Identifier: Apache-2.0
"""rdma-core's own test suite over loopback, on tbib and beside it on rxe."""

import os
import re
from collections import Counter, namedtuple

from lab import GUEST_FOLDER, HERE, add_rxe, kernel_row

HOSTS = 2
SKIPS = os.path.join(HERE, "pyverbs_skips")
# everything in the suite that is not for one vendor's provider
MODULES = ("addr atomic cq cq_events cqex cuda_dmabuf device flow fork mr odp parent_domain pd qp "
           "qpex rdmacm relaxed_ordering rss_traffic shared_pd srq tag_matching").split()
VENDORS = ("efa", "mlx5")
# ours, which rxe does not come through
OURS = sorted(name[len("test_"):-len(".py")] for name in os.listdir(HERE) if name.startswith("test_tbib_"))
SAMPLE = ("atomic cq qp srq tbib_events tbib_lists tbib_opcodes tbib_sqe tbib_srqs tbib_states "
          "tbib_windows").split()
RUNS = 5
# The image has the suite of the release that the guests run.
SUITE = "/usr/share/doc/rdma-core/tests"
PREPARE = f"""set -e
mkdir /run/pyverbs && cp -r {SUITE} /run/pyverbs/tests
cp {GUEST_FOLDER}/*tbib_*.py /run/pyverbs/tests
find /run/pyverbs -name '*.gz' -exec gunzip {{}} +"""
# A test of the list: part of the reason that it gives, whether rxe passes it, "skip" or "fail".
Expected = namedtuple("Expected", "reason on_rxe result", defaults=("skip",))


def parse_skips(lines, release, version):
    """Each test that is not to pass on this kernel with librxe of this release of rdma-core."""
    reason, found = None, {}
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        if not line.startswith(" "):
            reason = line.partition(": ")[0]
            continue
        *marks, test = line.split()
        kernels = [mark[:-1] for mark in marks if mark.endswith(":")]
        mended = [int(mark[1:]) for mark in marks if mark.startswith("<")]
        if (not kernels or release in kernels) and (not mended or version < mended[0]):
            found[test] = Expected(reason, f"rxe@{release}" in marks, "fail" if mended else "skip")
    return found


def expected_skips(release, version):
    with open(SKIPS, encoding="utf-8") as stream:
        return parse_skips(stream, release, version)


def librxe_version(lab):
    """The release of rdma-core, the first number of the package's version."""
    return int(lab.run(0, "dpkg-query -W -f '${Version}' ibverbs-providers").split(".")[0])


def rows(output):
    for line in output.splitlines():
        fields = line.split("\t")
        if len(fields) == 3 and fields[0] in ("ok", "skip", "fail"):
            yield fields


def run_module(lab, device, module, seconds=60):
    """The tests of one module, each given so many seconds: name to (result, reason)."""
    output = lab.run(0, f"python3 {GUEST_FOLDER}/pyverbs_guest.py /run/pyverbs {device} 1 {seconds} "
                     f"test_{module} 2>/run/pyverbs/log || echo 'fail\ttest_{module}\tended early'",
                     timeout=4 * seconds)
    return {test: (result, why) for result, test, why in rows(output)}


def not_as_listed(test, result, why, known, on_rxe):
    """None if the test may be skipped, or fail, for this reason, else what is wrong with that."""
    ended = {"skip": "skipped", "fail": "failed"}[result]
    if test not in known:
        return f"{ended}, which is new: {why}"
    part, rxe_passes, listed = known[test]
    if part not in why or listed != result:
        return f"{ended}, listed is {listed} for '{part}': {why}"
    if on_rxe and rxe_passes != (on_rxe == "ok"):
        return (f"{ended}, and rxe passes it: {why}" if on_rxe == "ok" else
                f"the list of skips says that rxe passes it: {on_rxe}")
    return None


def judge(module, ours, rxe, known):
    """Counts, and a line for each test that did not end as the list says. A listed failure counts as skipped."""
    counts = Counter(ok=0, skip=0, fail=0 if ours else 1)
    below = [] if ours else ["no test ran"]
    expected = {test for test in known if test.startswith(f"test_{module}.")}
    for test in expected - set(ours):
        counts["fail"] += 1
        below.append(f"{test}: the list of skips has it, and it did not run")
    for test, (result, _) in rxe.items():
        if result == "ok" and test not in ours:
            counts["fail"] += 1
            below.append(f"{test}: rxe passes it, and it did not run")
    for test, (result, why) in ours.items():
        on_rxe = rxe.get(test, ("not run", ""))[0] if rxe else None
        if result == "skip" or (result == "fail" and test in expected):
            wrong = not_as_listed(test, result, why, known, on_rxe)
            result, why = ("fail", wrong) if wrong else ("skip", why)
        elif result == "ok" and test in expected:
            result, why = "fail", "passed, and the list of skips has it"
        counts[result] += 1
        if result == "fail":
            below.append(f"{test}: {why}" + (f" (on rxe: {on_rxe})" if rxe else ""))
    return counts, below


def unknown_modules(known):
    """Tests in the list of modules that are not run at all."""
    modules = {f"test_{module}" for module in MODULES + OURS}
    return [f"{test}: in the list of skips, of no module that is run"
            for test in known if test.split(".")[0] not in modules]


def unlisted_modules(lab):
    """Files of the suite that nobody has said anything about."""
    files = lab.run(0, "ls /run/pyverbs/tests").split()
    modules = {name[len("test_"):-len(".py")] for name in files if re.fullmatch(r"test_.*\.py", name)}
    return [f"test_{module}: in the suite, and not run" for module in sorted(modules - set(MODULES + OURS))
            if not module.startswith(VENDORS)]


def tally(results):
    words = [result for result, _ in results.values()]
    return f"rxe: {words.count('ok')} / {words.count('fail')} / {words.count('skip')}"


def suite(lab, table, options):
    runs = 1 if options.quick else RUNS
    print(f"pyverbs, over loopback, {runs} times (rxe, once: passed / failed / skipped)")
    known = expected_skips(lab.release, librxe_version(lab))
    unknown = unknown_modules(known)
    if unknown:
        table.row("list of skips", fail=len(unknown), below=unknown)
    lab.run(0, PREPARE)
    unlisted = unlisted_modules(lab)
    if unlisted:
        table.row("modules of the suite", fail=len(unlisted), below=unlisted)
    if not options.sample:
        add_rxe(lab, 0)
    for module in SAMPLE if options.sample else MODULES + OURS:
        rxe = {} if options.sample or module in OURS else run_module(lab, "rxe0", module)
        counts, below = Counter(), []
        # the suite draws capabilities and flags at random
        for _ in range(runs):
            more, why = judge(module, run_module(lab, "tbib0", module), rxe, known)
            counts.update(more)
            below += why
        table.row(f"test_{module}", **counts, note=tally(rxe) if rxe else "", below=below)
    kernel_row(lab, table)
