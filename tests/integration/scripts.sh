#!/bin/sh
# Every test script that counts what failed ends with that count, or it could not fail.
set -u
cd "$top_srcdir" || exit 1
failed=0
counting=$(grep -l -e '^failed=0' -e '/expect\.sh"' tests/integration/*.sh tests/interop/*.sh)
[ -n "$counting" ] || { echo "no test scripts in $top_srcdir?"; exit 1; }
for script in $counting; do
    # What others read into theirs leaves the end to them.
    grep -q -e "^\. .*/${script##*/}\"" tests/integration/*.sh tests/interop/*.sh && continue
    [ "$(tail -n 1 "$script")" = 'exit $failed' ] || {
        echo "$script: does not end with: exit \$failed"
        failed=1
    }
done
exit $failed
