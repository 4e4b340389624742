#!/bin/sh
# What may be asked of attest-signer: by which socket, by which user, in which form. Everything else
# closes that connection and is logged, and the others go on.
set -u
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/softhsm.sh"
. "$top_srcdir/tests/support/signer.sh"
trap 'signer_kill; rm -rf "$dir"' EXIT
ask="$top_builddir/tests/support/signer_ask"

hex() { od -An -v -tx1 | tr -d ' \n'; }
# frame TEXT: its bytes in hex.
frame() { printf '%08x' ${#1} && printf '%s' "$1" | hex; }

signer_token
signer_config
signer_start || exit 1
signer_keys || complain "keys could not be made"
standby() { "$top_builddir/attestctl" key list --socket "$admin_socket" | grep -q '^token  *published'; }
until_true standby || complain "no key to rotate to"

# The request table: op, what signer.sock says, what signer-admin.sock says.
while read -r op on_signer on_admin members; do
    for socket in "signer $on_signer $signer_socket" "admin $on_admin $admin_socket"; do
        set -- $socket
        run $ask "$3" call "$op" "$members"
        case "$2" in
        ok) expect 0 ;;
        refused) expect 4 && out_has 'closed the connection' ;;
        *) expect "$2" ;;
        esac
    done
done <<'TABLE'
ping ok ok
keyset ok refused
sign 3 refused
status refused ok
key.list refused ok
key.generate refused 3
key.publish refused 3
key.activate refused 3
key.retire refused 3
key.revoke refused 3
key.destroy refused 3
key.rotate refused ok
key.root_rotate refused ok
key.export refused ok
key.import refused 12
key.take_over refused 3
audit.show refused ok
log_checkpoint refused refused
sign_auth refused refused
quote 14 refused
PING refused refused
TABLE
grep -q 'event=request_refused.*socket=signer .*key.list' "$dir/signer.log" ||
    complain "a request on the wrong socket was not logged"

# Forms that close the connection.
i=0
while read -r bytes; do
    i=$((i + 1))
    run $ask "$signer_socket" raw $bytes
    expect 0
    out_has closed
done <<FORMS
00000000
00010001
ffffffff
47455420 2f20485454502f312e310d0a
$(frame 'not json')
$(frame '[]')
$(frame '{}')
$(frame '{"id":1}')
$(frame '{"op":"ping"}')
$(frame '{"id":0,"op":"ping"}')
$(frame '{"id":1.5,"op":"ping"}')
$(frame '{"id":"1","op":"ping"}')
$(frame '{"id":9007199254740992,"op":"ping"}')
$(frame '{"id":1,"op":7}')
$(frame '{"id":1,"op":"ping","op":"ping"}')
$(frame '{"id":1,"op":"ping"}}')
$(frame '{"id":1,"op":"ping","x":[[[[[[[[[[[[1]]]]]]]]]]]]}')
$(printf '00000004ff000000')
FORMS
[ $i = 18 ] || complain "not all forms were tried"

# Frames in pieces, and several in one piece, are answered.
run $ask "$signer_socket" raw 00 0000 14 "$(printf '%s' '{"id":1,"op":"ping"}' | hex)"
out_has answer
ping=$(frame '{"id":1,"op":"ping"}')
run $ask "$signer_socket" raw "$ping$ping$ping"
out_has answer
run $ask "$signer_socket" raw 00000014
out_has open

# What a good form may still get: an answer that names the member.
claims='"audience":"https://a.example","agent_identity":{"model_family":"f","model_version":"v","provider":"p"}'
sign() { run $ask "$signer_socket" call sign "$1"; }
sign "\"iss\":\"$issuer\",\"caller\":\"uid:1\",\"claims\":{$claims}"
expect 0
out_has '"token":"eyJ'
sign "\"iss\":\"https://other.example\",\"caller\":\"uid:1\",\"claims\":{$claims}"
expect $((1004 % 200))
sign "\"iss\":\"$issuer\",\"caller\":\"uid:1\",\"claims\":{$claims},\"alg\":\"none\""
expect 3
sign "\"iss\":\"$issuer\",\"claims\":{$claims}"
expect 3
out_has 'caller: '
sign "\"iss\":\"$issuer\",\"caller\":\"a\\nb\",\"claims\":{$claims}"
expect 3
sign "\"iss\":\"$issuer\",\"caller\":\"uid:1\",\"timeout_ms\":-1,\"claims\":{$claims}"
expect 3
sign "\"iss\":\"$issuer\",\"caller\":\"uid:1\",\"claims\":{$claims,\"lifetime_s\":901}"
expect $((1007 % 200))
out_has 'lifetime_s'
sign "\"iss\":\"$issuer\",\"caller\":\"uid:1\",\"claims\":{$claims,\"exp\":99999999999}"
expect $((1007 % 200))
out_has 'exp: '
sign "\"iss\":\"$issuer\",\"caller\":\"uid:1\",\"claims\":{\"audience\":\"https://a.example\",\"agent_identity\":{\"model_family\":\"f\",\"model_version\":\"a/../b\",\"provider\":\"p\"}}"
expect $((1007 % 200))
out_has 'agent_identity.model_version'

# Who does not read the answers is closed; the server holds no more than it may.
run $ask "$signer_socket" flood 100000
out_has closed
run $ask "$signer_socket" call ping
expect 0

# attestd needs one connection; what it could fill with answers that it does not read is bounded.
run $ask "$signer_socket" many 60
expect 0
n=$(cat "$dir/out")
[ "$n" -gt 8 ] && [ "$n" -le 16 ] || complain "$n connections were served"

# Another user: by root's hand only.
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    signer_stop
    chmod 755 "$dir" "$dir/run"
    signer_config 'signer_group: nogroup' 'admin_group: nogroup' 'signer_users: [nobody]'
    signer_start || exit 1
    cp "$ask" "$dir/ask" && chmod 755 "$dir/ask"
    as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$dir/ask" "$@"; }
    # A libtool wrapper would not run from elsewhere; then the plain program is the one to copy.
    [ -x "$top_builddir/tests/support/.libs/signer_ask" ] &&
        cp "$top_builddir/tests/support/.libs/signer_ask" "$dir/ask"
    run as_nobody "$signer_socket" call ping
    expect 0
    run as_nobody "$admin_socket" call ping
    expect 4
    run $ask "$signer_socket" call ping
    expect 4
    run $ask "$admin_socket" call ping
    expect 0
    grep -q 'event=connection_refused.*socket=signer-admin uid=65534' "$dir/signer.log" ||
        complain "a refused user was not logged"
    signer_stop
fi

# One user on both sockets is for development only.
signer_kill
sed -i 's/^development: true/development: false/' "$dir/signer.yaml"
sed -i '/_users:/d' "$dir/signer.yaml"
run "$top_builddir/attest-signer" --config "$dir/signer.yaml"
expect 3
err_has 'both in signer_users and in admin_users'

# A wrong PIN is tried once and is not for the service manager to try again.
sed -i 's/^development: false/development: true/' "$dir/signer.yaml"
pin_file pin 00000000
run "$top_builddir/attest-signer" --config "$dir/signer.yaml"
expect 1
grep -q 00000000 "$dir/err" && complain "the PIN was shown"
pin_file pin 1234abcd

# Configurations that are refused, each with its key.
while read -r key line; do
    signer_config
    sed -i "/^$key:/d" "$dir/signer.yaml"
    printf '%s\n' "$line" >>"$dir/signer.yaml"
    run "$top_builddir/attest-signer" --config "$dir/signer.yaml" --check-config
    expect 1
    err_has "$key"
    err_is_one_line
done <<'CONFIGS'
issuer issuer: "http://issuer.example.com"
issuer issuer: "https://issuer.example.com/?x"
trust_domain trust_domain: "Upper Case"
subject_names subject_names: {"a/b": "a/b"}
lifetime_default_s lifetime_default_s: 901
queue_max queue_max: 0
CONFIGS
signer_config 'lifetime_default_s: 500' 'lifetime_max_s: 400'
run "$top_builddir/attest-signer" --config "$dir/signer.yaml" --check-config
expect 1
err_has lifetime_default_s
run "$top_builddir/attest-signer" --no-such-option
expect 2

exit $failed
