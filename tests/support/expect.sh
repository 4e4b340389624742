# SPDX-License-Identifier: MIT
# For shell tests of commands. run COMMAND… keeps status, $dir/out and $dir/err; expect STATUS and
# the greps then say what was wrong. The test ends with `exit $failed`.

failed=0

complain() {
    echo "FAILED: $*"
    [ -s "$dir/out" ] && sed 's/^/  out: /' "$dir/out"
    [ -s "$dir/err" ] && sed 's/^/  err: /' "$dir/err"
    failed=1
}

run() {
    what="$*"
    status=0
    "$@" >"$dir/out" 2>"$dir/err" </dev/null || status=$?
}

expect() { [ "$status" = "$1" ] || complain "$what: status $status, not $1"; }
out_has() { grep -q -e "$1" "$dir/out" || complain "$what: no '$1' on standard output"; }
err_has() { grep -q -e "$1" "$dir/err" || complain "$what: no '$1' on standard error"; }
err_is_one_line() { [ "$(wc -l <"$dir/err")" = 1 ] || complain "$what: not one line of error"; }
