#!/bin/sh
# attestctl hsm against a SoftHSM: a token is set up, looked at, tried out, and its PIN changed.
set -u
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/softhsm.sh"
softhsm_start
ctl=$top_builddir/attestctl
token="--module $SOFTHSM_MODULE --keystore pkcs11:token=mine"
# SoftHSM forgets some memory whenever an EdDSA key is used, and is unloaded by the time that a leak
# checker asks whose it was.
check="env ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 $ctl hsm check"
pin_file so 87654321
pin_file pin 1234abcd
pin_file new 5678efgh
pin_file wrong 00000000

run $ctl hsm slots --module "$SOFTHSM_MODULE"
expect 0
out_has 'not initialised'

run $ctl hsm init --module "$SOFTHSM_MODULE" --so-pin-file "$dir/so" --pin-file "$dir/pin"
expect 2
err_has 'give --label'

run $ctl hsm init --module "$SOFTHSM_MODULE" --label mine --so-pin-file "$dir/so" --pin-file "$dir/pin"
expect 0
out_has 'ready .*mine'
run $ctl hsm init --module "$SOFTHSM_MODULE" --label mine --so-pin-file "$dir/so" --pin-file "$dir/pin"
expect 1
out_has '^refused: '

run $ctl hsm slots --module "$SOFTHSM_MODULE" --json
expect 0
out_has '"label":"mine"'

run $ctl hsm info $token
expect 0
out_has 'signs_ed25519  *yes'
run $ctl hsm info $token --json
expect 0
out_has '"signs_ed25519":true'

run $check $token --pin-file "$dir/pin"
expect 0
out_has '^sign  *ok'
out_has '^verify  *ok'
run $check $token --pin-file "$dir/wrong"
expect 1
out_has '^login  *failed'
out_has '^refused: '
grep -q 00000000 "$dir/out" "$dir/err" && complain "the PIN was shown"
run $check $token --pin-file "$dir/wrong" --json
expect 1
out_has '"ok":false'

run $ctl hsm pin $token --pin-file "$dir/pin" --new-pin-file "$dir/new"
expect 0
run $check $token --pin-file "$dir/new"
expect 0
run $ctl hsm pin $token --pin-file "$dir/pin" --new-pin-file "$dir/new"
expect 1
run $ctl hsm pin $token --so-pin-file "$dir/so" --new-pin-file "$dir/new" --json
expect 0
out_has '"ok":true'

# What is missing is said in one line: the token, the module, a readable PIN file, a terminal.
run $ctl hsm info --module "$SOFTHSM_MODULE" --keystore pkcs11:token=other
expect 3
err_has 'attestctl hsm slots'
err_is_one_line
run $ctl hsm slots --module "$dir/none.so"
expect 3
err_has '--module'
err_is_one_line
run $check $token --pin-file "$dir/none"
expect 3
err_is_one_line
chmod 644 "$dir/new"
run $check $token --pin-file "$dir/new"
expect 3
err_is_one_line
run setsid -w $check $token
expect 3
err_has '--pin-file'
err_is_one_line

# The keys of all these checks are gone; what stays is the token's own object.
[ "$(find "$dir/tokens" -name '*.object' | wc -l)" = 1 ] || complain "hsm check left an object"

# The signer's configuration says which token and where its PIN is.
chmod 600 "$dir/new"
cat >"$dir/attest-signer.yaml" <<END
issuer: https://ai.example.com
keystore: pkcs11:token=mine
module: $SOFTHSM_MODULE
pin: {file: $dir/new}
END
run $check --config "$dir/attest-signer.yaml"
expect 0
run $ctl hsm info --config "$dir/none.yaml"
expect 3
err_is_one_line
exit $failed
