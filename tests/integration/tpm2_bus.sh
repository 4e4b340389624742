#!/bin/sh
# What watches the bus to the TPM in the other tests can see: a secret that crosses it openly is
# found, as it is and in hex and base64, and so is a command that was not encrypted, whatever it
# carries; one in an encrypted session is not there to be found. And no test that starts a TPM goes
# unwatched.
set -u
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/swtpm.sh"
trap 'swtpm_kill; rm -rf "$dir"' EXIT
find_secrets=$top_builddir/tests/support/find_secrets

swtpm_start
od -An -v -N24 -tx1 /dev/urandom | tr -d ' \n' >"$dir/plain"
od -An -v -N24 -tx1 /dev/urandom | tr -d ' \n' >"$dir/hidden"
od -An -v -N24 -tx1 /dev/urandom | tr -d ' \n' >"$dir/auth"
for name in plain hidden auth; do
    echo "$name $(od -An -v -tx1 <"$dir/$name" | tr -d ' \n')" >"$dir/needle-$name"
done
tpm2() {
    program=tpm2_$1
    shift
    $program -Q -T "$TCTI" "$@" 2>"$dir/err" || complain "$program $*"
}
tpm2 createprimary -C o -c "$dir/primary.ctx"
tpm2 flushcontext -t
tpm2 create -C "$dir/primary.ctx" -i "$dir/plain" -u "$dir/pub" -r "$dir/priv"
mv "$dir/bus.log" "$dir/create.log"
tpm2 flushcontext -t
tpm2 load -C "$dir/primary.ctx" -u "$dir/pub" -r "$dir/priv" -c "$dir/sealed.ctx"
tpm2 flushcontext -t
mv "$dir/bus.log" "$dir/load.log"
tpm2 unseal -c "$dir/sealed.ctx" -o "$dir/unsealed"
mv "$dir/bus.log" "$dir/unseal.log"
tpm2 nvdefine 0x1800001 -C o -s 8 -a 'ownerread|authwrite|authread' -p "file:$dir/auth"
mv "$dir/bus.log" "$dir/define.log"
tpm2 flushcontext -t
tpm2 startauthsession --hmac-session -c "$dir/primary.ctx" -S "$dir/session"
tpm2 flushcontext -t
tpm2 sessionconfig --enable-decrypt --enable-encrypt "$dir/session"
tpm2 create -C "$dir/primary.ctx" -P "session:$dir/session" -i "$dir/hidden" -p "file:$dir/auth" \
    -u "$dir/pub2" -r "$dir/priv2"
tpm2 flushcontext -t
tpm2 unseal -c "$dir/sealed.ctx" -p "session:$dir/session" -o "$dir/unsealed"
tpm2 flushcontext "$dir/session"

# found NEEDLE 0|1 FILE
found() {
    run "$find_secrets" "$dir/needle-$1" file "$3"
    expect "$2"
}
found plain 1 "$dir/create.log"
out_has "plain at"
found plain 1 "$dir/unseal.log"
found plain 0 "$dir/bus.log"
found hidden 0 "$dir/bus.log"
found auth 0 "$dir/bus.log"
found plain 0 "$dir/priv"

# encrypted STATUS LOG WORD: without being told a secret
encrypted() {
    run "$find_secrets" "$dir/missing" bus "$dir/$2"
    expect "$1"
    [ -z "$3" ] || grep -q -e "$3" "$dir/out" "$dir/err" || complain "$2: not said: $3"
}
encrypted 1 create.log 'TPM2_Create, is not encrypted'
encrypted 1 unseal.log 'TPM2_Unseal, is not encrypted'
encrypted 1 define.log 'TPM2_NV_DefineSpace, is not encrypted'
encrypted 0 load.log ''
encrypted 0 bus.log ''
head -c -3 "$dir/bus.log" >"$dir/part"
encrypted 2 part 'no record of a bus'
: >"$dir/part"
encrypted 2 part 'nothing there'

# In other clothes, and in part.
{ head -c 5000 /dev/urandom; head -c 30 "$dir/plain"; echo; } >"$dir/part"
found plain 1 "$dir/part"
head -c 7 "$dir/plain" >"$dir/part"
found plain 0 "$dir/part"
for skip in 0 1 2; do
    { head -c $skip /dev/urandom; cat "$dir/plain"; } | base64 -w 0 >"$dir/base64"
    found plain 1 "$dir/base64"
    tr '+/' '-_' <"$dir/base64" >"$dir/base64url"
    found plain 1 "$dir/base64url"
done
od -An -v -tx1 <"$dir/plain" | tr -d ' \n' >"$dir/hex"
found plain 1 "$dir/hex"
tr a-f A-F <"$dir/hex" >"$dir/HEX"
found plain 1 "$dir/HEX"
run "$find_secrets" "$dir/needle-plain" file /dev/null
expect 2
: >"$dir/none"
run "$find_secrets" "$dir/none" file "$dir/bus.log"
expect 2

# Each test with a TPM names secrets, or its watch would have nothing to look for.
for test in $(grep -l -e 'swtpm_start' "$top_srcdir"/tests/unit/*.c "$top_srcdir"/tests/integration/*.sh \
    "$top_srcdir"/tests/interop/*.sh); do
    [ "${test##*/}" = tpm2_bus.sh ] || grep -q -e 'swtpm_secret' -e '\$dir/pin' "$test" ||
        complain "$test: starts a TPM and names no secret (swtpm_secret)"
done
exit $failed
