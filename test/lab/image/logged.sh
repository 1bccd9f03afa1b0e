# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
#
# How a long step runs; sourced by what builds images. The caller sets say, die.

# logged LOG COMMAND...: all that COMMAND says goes to LOG. Its first failure ends it, and then
# the caller, with the log's end on standard error. Not for a condition or a list with || or &&:
# the shell would not end at failures inside of it.
logged() {
    log=$1
    shift
    set +e
    (set -e; "$@") >"$log" 2>&1
    status=$?
    set -e
    [ $status = 0 ] && return
    tail -n 20 "$log" >&2
    die "build failed, see $log"
}
