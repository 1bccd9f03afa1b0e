#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# kbuild_test.sh MODULE.ko SERIES: the module is one that a kernel of SERIES loads.
# (Warnings and unresolved symbols have already failed the build.)
set -u
PATH=$PATH:/usr/sbin:/sbin
module=$1 series=$2
failed=0

expect() {
    value=$(modinfo -F "$1" "$module") || exit 1
    # shellcheck disable=SC2254 # the pattern is meant as one
    case $value in
    $2) ;;
    *) echo "$module: $1 is '$value', expected $2" >&2; failed=1 ;;
    esac
}

expect vermagic "$series.*"
expect license "GPL*"
expect description "?*"
exit $failed
