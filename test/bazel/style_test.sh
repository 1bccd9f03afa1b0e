#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Rules of this tree that a script can check. Each says what it wants and where it is not so.
set -u
LC_ALL=C
export LC_ALL
cd "$(dirname "$(readlink -f "$0")")/../.." || exit 1
found=$(mktemp)
trap 'rm -f "$found"' EXIT

if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    files=$(git ls-files)
else
    files=$(find . -type f -not -path './bazel-*' | sed 's,^\./,,')
fi

# rule TEXT: notes the offenders read from standard input under TEXT. It runs at the end
# of a pipe, in a shell of its own, hence the file.
rule() {
    offenders=$(cat)
    [ -z "$offenders" ] || printf '%s:\n%s\n\n' "$1" "$offenders" >>"$found"
}

# of PATTERN: the files whose path matches an extended regular expression
of() {
    printf '%s\n' "$files" | grep -E -- "$1"
}

sources='\.(c|h|cpp|hpp|sh|py|bzl|bazel|rules|service|network|conf|yaml|[1-8])$|/(Kbuild|Makefile|Kconfig|build|enter|check|setup|demo|kbuild|keep-name|build-deb|rules)$|^(WORKSPACE|dkms\.conf|\.bazelrc)$'

of "$sources" | while read -r file; do
    head -n 2 "$file" | grep -q 'SPDX-License-Identifier: ' || echo "$file"
done | rule "The first line (the second after #!) names the licence"

of '^module/.*\.[ch]$' | grep -v '^module/compat/' |
    xargs grep -nE 'HAVE_|LINUX_VERSION_CODE|KERNEL_VERSION' |
    rule "What kernel it is, only module/compat knows"

of '^module/.*\.[ch]$' | grep -vE '^module/(compat|ring)/' |
    xargs grep -nE 'include.*<linux/thunderbolt\.h>' |
    rule "Only module/ring sees <linux/thunderbolt.h>"

of '^module/proto/.*\.[ch]$' |
    xargs grep -nE '#[[:space:]]*include[[:space:]]*<' |
    rule "The core in module/proto includes no kernel and no C library header"

of '^module/.*\.c$' | xargs grep -nE 'module_param' |
    rule "A module parameter needs an ADR"

of '\.(c|h|cpp|hpp|sh|py|bzl)$' | grep -v '/style_test.sh$' |
    xargs grep -nwE 'TODO|FIXME|XXX' |
    rule "What is to be done is an issue, not a comment"

of '\.(c|h|cpp|hpp|py)$' | xargs wc -l | awk '$2 != "total" && $1 > 700 { print $2 ": " $1 " lines" }' |
    rule "A file has one noun and at most about 600 lines"

# An empty line that a patch leaves as it is, is a space.
of '^(\.bazelrc|WORKSPACE|.*\.(c|h|cpp|hpp|sh|py|bazel|bzl|md|conf|service))$|^test/|^packaging/' |
    grep -v '\.patch$' |
    xargs grep -nE '[[:space:]]+$' |
    rule "No white space at the end of a line"

# Without git, what Python and the kernel's build leave beside a source cannot be told from a file.
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    of '\.(pyc|o|ko|so|a|deb|rpm)$' |
        rule "What a program makes of a source is not kept"
fi

cat "$found"
[ ! -s "$found" ]
