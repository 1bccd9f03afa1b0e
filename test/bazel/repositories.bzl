# SPDX-License-Identifier: Apache-2.0
"""The repositories that Bazel 4.2 resolves for C++ and test targets, without a network.

Bazel's built-in WORKSPACE suffix names them with maybe(http_archive, ...), so whoever
defines them first wins. Debian packages most of them under /usr/share/bazel; its
rules_cc is newer than its Bazel and does not load, and remote_coverage_tools (which
every test depends on, even when no coverage is asked for) is not packaged: those two
are written here and hold only what @bazel_tools loads from them.
"""

_DEBIAN = {
    "bazel_skylib": "/usr/share/bazel/tools/skylib",
    "platforms": "/usr/share/bazel/platforms",
    "rules_java": "/usr/share/bazel/rules/java",
    "rules_proto": "/usr/share/bazel/rules/proto",
}

_RULES_CC_DEFS = """
cc_binary = native.cc_binary
cc_import = native.cc_import
cc_library = native.cc_library
cc_proto_library = native.cc_proto_library
cc_test = native.cc_test
cc_toolchain = native.cc_toolchain
cc_toolchain_suite = native.cc_toolchain_suite
objc_import = native.objc_import
objc_library = native.objc_library
"""

# A merger that is asked to work says that it cannot: `bazel coverage` is not supported,
# and an empty report must not look like a measurement.
_COVERAGE_BUILD = """
[sh_binary(
    name = tool,
    srcs = ["unsupported.sh"],
    visibility = ["//visibility:public"],
) for tool in ("coverage_report_generator", "lcov_merger")]
"""

_COVERAGE_UNSUPPORTED = """#!/bin/sh
echo "bazel coverage needs tools that Debian does not package" >&2
exit 1
"""

def _written_repository_impl(repository_ctx):
    for path, content in repository_ctx.attr.files.items():
        repository_ctx.file(path, content, executable = path.endswith(".sh"))

_written_repository = repository_rule(
    implementation = _written_repository_impl,
    attrs = {"files": attr.string_dict(doc = "path in the repository -> content")},
)

def offline_repositories():
    """Defines every external repository that building and testing this tree needs."""
    for name, path in _DEBIAN.items():
        native.local_repository(name = name, path = path)
    _written_repository(
        name = "rules_cc",
        files = {
            "cc/BUILD.bazel": "",
            "cc/defs.bzl": _RULES_CC_DEFS,
        },
    )
    _written_repository(
        name = "remote_coverage_tools",
        files = {
            "BUILD.bazel": _COVERAGE_BUILD,
            "unsupported.sh": _COVERAGE_UNSUPPORTED,
        },
    )
