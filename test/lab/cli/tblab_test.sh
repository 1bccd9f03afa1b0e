#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tblab command as a person uses it, on one real lab of two hosts.

program=$1
passed=0
failed=0
scratch=$(mktemp -d)
trap 'lab down 2>/dev/null; rm -rf "$scratch" "/run/tblab/test-$$"' EXIT
trap 'exit 1' HUP INT TERM # a test that is ended must not leave its lab behind

lab() { "$program" --name "test-$$" "$@"; }

ok() { passed=$((passed + 1)); }
bad() { echo "FAILED: $*"; failed=$((failed + 1)); }

# is WANTED COMMAND...: the output contains WANTED.
is() {
    wanted=$1
    shift
    said=$("$@" 2>&1)
    if printf %s "$said" | grep -qE -- "$wanted"; then
        ok
    else
        bad "$*: wanted $wanted, got: $said"
    fi
}

mkdir "$scratch/extra"
echo from-outside >"$scratch/extra/file"
if flock "$scratch/lock" "$program" --name "test-$$" up --extra "$scratch/extra"; then
    ok
else
    echo "no lab: 0 passed, 1 failed"
    exit 1
fi

# The background process holds nothing that the caller had open.
if flock -n "$scratch/lock" true; then ok; else bad "the lab kept a lock"; fi
is 'c0 .*up, 2 lane' lab status
is '"width": 2' lab status --json
is '^h1$' lab run 1 hostname
is from-outside lab run 0 cat /opt/tbib/file
is 'two words' lab run h0 'echo two words'
lab run 0 exit 7
if [ $? -eq 7 ]; then ok; else bad "exit code of a command"; fi
is 'took longer than 1 s' lab run --timeout 1 0 sleep 30
is 'no host 5' lab run 5 true
is 'no cable 3' lab unplug 3
is 'unknown fault' lab fault 0 fire=1
is 'already' lab up

head -c 300000 /dev/urandom >"$scratch/out"
if lab put 0 "$scratch/out" /tmp/in && lab get 0 /tmp/in "$scratch/back" &&
    cmp "$scratch/out" "$scratch/back"; then
    ok
else
    bad "put and get"
fi

typed() { printf 'echo hello from the\\ shell\n' | lab shell 0; }
is 'hello from the shell' typed

lab unplug 0
is unplugged lab status
lab plug 0
later() { sleep 2; lab status; }
is 'up, 2 lane' later
if lab fault 0 drop=0.5 delay=1ms && lab fault clear; then ok; else bad "fault"; fi
if lab set 0 throttling=off && lab interrupt 0; then ok; else bad "host options"; fi
is '"cables"' lab stats --json
is 'h0 tx 0' lab stats
is 'h0 rx 0' lab stats --reset

lab kill 1
is 'h1 .*running no' lab status
is 'QEMU is not running' lab run 1 true
if lab start 1 && [ "$(lab run 1 hostname)" = h1 ]; then ok; else bad "start"; fi

if lab down; then ok; else bad "down"; fi
is 'no lab' lab status

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
