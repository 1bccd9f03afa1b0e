#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The sample of test/verbs, with what Bazel has built (the working folder); arguments name the hosts.
set -eu
exec python3 -B test/e2e/verbs --sample --name verbs-sample --built "$PWD" --report "$@"
