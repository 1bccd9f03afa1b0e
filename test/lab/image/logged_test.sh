#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# logged_test.sh LOGGED.SH: a step of an image that fails half way makes no image, and says why.
set -u
logged=$(readlink -f "$1")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
failed=0

# build STEPS: a builder of two steps; $status and the files out, err, log are what came of it
build() {
    rm -f out err log second
    {
        echo 'set -eu'
        echo 'die() { echo "image: $*" >&2; exit 1; }'
        echo ". '$logged'"
        echo "first() { $1; }"
        echo 'second() { : >second; }'
        echo 'both() { first; second; }'
        echo 'logged log both; echo made'
    } >builder
    sh builder >out 2>err
    status=$?
}

# expect WHAT COMMAND...
expect() {
    what=$1
    shift
    "$@" || { echo "$what: not so; standard error was:" >&2; cat err >&2; failed=1; }
}

build 'echo unpacking'
expect "steps that pass make it" test $status = 0 -a -e second -a "$(cat out)" = made
expect "what they say is in the log" grep -qx unpacking log
expect "and nowhere else" test ! -s err

build 'false; echo not reached'
expect "a failing command ends the builder" test $status = 1 -a ! -s out
expect "and its step" test "$(grep -c reached log)" = 0
expect "and the steps after it" test ! -e second
expect "which says where to look" grep -qx "image: build failed, see log" err

build 'die "no mirror in sources"'
expect "a step that gives up ends the builder" test $status = 1 -a ! -e second
expect "its reason is not only in the log" grep -qx "image: no mirror in sources" err

exit $failed
