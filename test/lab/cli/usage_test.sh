#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Wrong input gives one line that names it, and a non-zero exit. Boots nothing.

tblab=$1
name=usage-test-$$ # no lab of that name runs
passed=0
failed=0

# refused TEXT ARGUMENT...: the command fails and says TEXT in one line.
refused() {
    wanted=$1
    shift
    said=$("$tblab" --name="$name" "$@" 2>&1)
    code=$?
    if [ $code -ne 0 ] && [ "$(printf '%s\n' "$said" | wc -l)" -eq 1 ] &&
        printf %s "$said" | grep -qF -- "$wanted"; then
        passed=$((passed + 1))
    else
        echo "tblab $*: exit code $code, wanted '$wanted', got: $said"
        failed=$((failed + 1))
    fi
}

refused 'which command'
refused bogus bogus
refused --hosts up --hosts many
refused --router up --router 3
refused --boot up --boot slow
refused --bogus up --bogus
refused 'no lab' status
refused 'no lab' run 0 true
refused 'which command' run 0
refused 'no host' run x true
refused 'no lab' plug 0
refused 'no cable' plug x
refused host run
refused 'which fault' fault 0
refused --direction fault 0 --direction up drop=1
refused nonexistent put 0 /nonexistent/file /tmp
refused 'no lab' down
name=../x
refused 'no name' status

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
