# SPDX-License-Identifier: Apache-2.0
"""Kernel modules: kbuild inside one action.

The package's Kbuild file lists the objects and stays the truth (DKMS uses it without
Bazel); Bazel only knows that any change of a source means running it again.
"""

# The lab's stock kernels: Debian 13's own and the newest of its backports.
KERNEL_SERIES = ["6.12", "7.3"]

# Reads and mounts the lab's tree, which is not an input: no sandbox, no remote cache.
_TAGS = ["kbuild", "local", "no-remote", "no-sandbox"]

def _kbuild(name, module, srcs, kdir, tags):
    native.genrule(
        name = name,
        srcs = srcs + ["//:dkms.conf"],
        outs = ["%s/%s.ko" % (name, module)],
        cmd = "$(location //test/bazel:kbuild) %s %s $@ $(SRCS)" % (kdir, native.package_name()),
        message = "Running kbuild for",
        tags = _TAGS + tags,
        tools = ["//test/bazel:kbuild"],
        visibility = ["//visibility:public"],
    )

def kbuild_module(name, srcs):
    """Builds NAME.ko from a package's Kbuild, for each of the lab's kernels.

    Targets: NAME-SERIES is the module (//module:tbib-6.12 gives tbib-6.12/tbib.ko);
    NAME-SERIES-test passes if it built without a warning and is for that kernel;
    NAME-debug is for the lab's debug kernel, which the first use builds in twenty minutes;
    NAME-host builds for --define=KDIR=/lib/modules/RELEASE/build of this machine.

    Args:
      name: the module's name, as in Kbuild's obj-m.
      srcs: Kbuild and everything it reads.
    """
    for series in KERNEL_SERIES:
        target = "%s-%s" % (name, series)
        _kbuild(target, name, srcs, series, [])
        native.sh_test(
            name = target + "-test",
            size = "small",
            srcs = ["//test/bazel:kbuild_test.sh"],
            args = ["$(location :%s)" % target, series],
            data = [target],
            tags = ["kbuild", "local"],
        )
    _kbuild(name + "-debug", name, srcs, "debug", ["manual"])
    _kbuild(name + "-host", name, srcs, "$(KDIR)", ["manual"])
