#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# packages_test.sh TBLAB: see packages.py. Reads the work tree, as building packages does.
set -eu
tblab=$(readlink -f "$1")
exec python3 -B "$(dirname "$(readlink -f "$0")")/packages.py" "$tblab"
