#!/bin/sh
# Both daemons run as two unprivileged users, as the units start them, and mint. Then whoever has
# taken over attestd's user tries to get at what is the signer's, and the other way round.
set -u
for program in attestd attest-signer attestctl; do
    [ -x "$top_builddir/$program" ] || { echo "$program is not built"; exit 1; }
done
if [ "$(id -u)" -ne 0 ]; then
    echo "only root can start two users' daemons"
    exit 77
fi
for tool in setpriv curl; do
    command -v $tool >/dev/null || { echo "$tool is missing"; exit 77; }
done
for module in /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so; do
    [ -e "$module" ] && break
done
[ -e "$module" ] || { echo "softhsm2 is missing"; exit 77; }

# Numbers that no one has; no entry in the user database is needed.
front=64201 keeper=64202 clients=64203 admins=64204
dir=$(mktemp -d) || exit 1
pids=
finish() {
    for pid in $pids; do kill "$pid" 2>/dev/null; done
    for pid in $pids; do wait "$pid" 2>/dev/null; done
    rm -rf "$dir"
}
trap finish EXIT
trap 'exit 1' INT TERM

failed=0
complain() {
    echo "two_users: $*"
    failed=1
}
give_up() {
    complain "$1"
    [ $# -lt 2 ] || tail -n 30 "$2"
    exit 1
}

# A word list each, not a function: behind a function, $! would be a shell's number.
as="setpriv --no-new-privs --inh-caps=-all"
as_front="$as --reuid=$front --regid=$front --groups=$clients --"
as_keeper="$as --reuid=$keeper --regid=$keeper --groups=$clients,$admins --"
# The front's user with more than it should ever have: the admins' group.
as_front_admin="$as --reuid=$front --regid=$front --groups=$clients,$admins --"

# The build tree may lie where those users may not look: the programs are copied out of it.
chmod 755 "$dir"
mkdir -m 755 "$dir/bin" "$dir/lib" "$dir/run" "$dir/run/signer" "$dir/run/front"
mkdir -m 700 "$dir/state" "$dir/tokens" "$dir/credentials" "$dir/front"
for program in attestd attest-signer attestctl; do
    if [ -x "$top_builddir/.libs/$program" ]; then
        cp "$top_builddir/.libs/$program" "$dir/bin/"
    else
        cp "$top_builddir/$program" "$dir/bin/"
    fi
done
for library in "$top_builddir"/.libs/libattest.so*; do
    [ -e "$library" ] && cp -P "$library" "$dir/lib/"
done
LD_LIBRARY_PATH=$dir/lib SOFTHSM2_CONF=$dir/softhsm2.conf
export LD_LIBRARY_PATH SOFTHSM2_CONF

cat >"$dir/softhsm2.conf" <<END
directories.tokendir = $dir/tokens
objectstore.backend = file
log.level = ERROR
END
od -An -N 8 -t x1 /dev/urandom | tr -d ' \n' >"$dir/credentials/pin"
echo "front's own" >"$dir/front/tls.key"
cat >"$dir/attest-signer.yaml" <<END
issuer: https://issuer.example.com
keystore: "pkcs11:token=attestd"
module: $module
state_dir: $dir/state
signer_socket: $dir/run/signer/signer.sock
admin_socket: $dir/run/signer/admin.sock
signer_group: "$clients"
signer_users: ["$front"]
admin_group: "$admins"
admin_users: ["0"]
END
cat >"$dir/attestd.yaml" <<END
issuer: https://issuer.example.com
listen: ["unix:$dir/run/front/attestd.sock"]
mint_users: ["0"]
signer_socket: $dir/run/signer/signer.sock
admin_listen: "unix:$dir/run/front/metrics.sock"
END
chmod 644 "$dir"/*.yaml "$dir/softhsm2.conf"
chown -R $keeper:$keeper "$dir/state" "$dir/tokens" "$dir/credentials" "$dir/run/signer"
chown -R $front:$front "$dir/front" "$dir/run/front"
chmod 400 "$dir/credentials/pin" "$dir/front/tls.key"

$as_keeper "$dir/bin/attestctl" hsm init --module "$module" --label attestd \
    --pin-file "$dir/credentials/pin" --so-pin-file "$dir/credentials/pin" >"$dir/log" 2>&1 ||
    give_up "the token could not be made" "$dir/log"

# Waits for the line by which a daemon says that it serves.
wait_for() {
    for _ in $(seq 300); do
        grep -q -e "$1" "$2" && return 0
        kill -0 "$3" 2>/dev/null || break
        sleep 0.1
    done
    give_up "no $1" "$2"
}

CREDENTIALS_DIRECTORY=$dir/credentials $as_keeper "$dir/bin/attest-signer" \
    --config "$dir/attest-signer.yaml" >"$dir/signer.log" 2>&1 </dev/null &
signer=$!
pids="$signer"
wait_for event=ready "$dir/signer.log" $signer
for purpose in root log token; do
    "$dir/bin/attestctl" key generate --purpose $purpose --socket "$dir/run/signer/admin.sock" \
        >"$dir/log" 2>&1 || give_up "no $purpose key" "$dir/log"
done
$as_front "$dir/bin/attestd" --config "$dir/attestd.yaml" >"$dir/attestd.log" 2>&1 </dev/null &
attestd=$!
pids="$pids $attestd"
wait_for event=ready "$dir/attestd.log" $attestd

for daemon in $signer:$keeper $attestd:$front; do
    uids=$(sed -n 's/^Uid:[[:space:]]*//p' "/proc/${daemon%:*}/status" | tr '\t' ' ')
    want="${daemon#*:} ${daemon#*:} ${daemon#*:} ${daemon#*:}"
    [ "$uids" = "$want" ] || complain "process ${daemon%:*} runs as $uids, not $want"
done

# What follows shows something only if the pair works.
ask() {
    curl -s -o "$dir/answer" -w '%{http_code}' --unix-socket "$dir/run/front/attestd.sock" "$@"
}
for _ in $(seq 100); do
    [ "$(ask http://localhost/readyz)" = 200 ] && break
    sleep 0.1
done
status=$(ask -H 'Content-Type: application/json' -d '{"audience": "https://mcp.example.com",
    "agent_identity": {"model_family": "m", "model_version": "m-1", "provider": "p"}}' \
    http://localhost/v1/attestations)
[ "$status" = 201 ] || {
    cat "$dir/answer"
    give_up "minting gave $status" "$dir/attestd.log"
}

# Files: each of the signer's opens for its owner, none for the front; the front's key the reverse.
count=0
for file in $(find "$dir/tokens" "$dir/state" "$dir/credentials" -type f); do
    count=$((count + 1))
    $as_keeper sh -c ': <"$1"' - "$file" 2>/dev/null || complain "the signer cannot read its $file"
    $as_front sh -c ': <"$1"' - "$file" 2>/dev/null && complain "attestd's user reads $file"
done
[ $count -ge 4 ] || complain "only $count files of the signer's were found"
for kind in tokens state/records.db state/log credentials/pin; do
    [ -e "$dir/$kind" ] || complain "$kind is not there"
done
for place in tokens state credentials; do
    $as_front ls "$dir/$place" >/dev/null 2>&1 && complain "attestd's user lists $place"
    $as_front sh -c ': >"$1/x"' - "$dir/$place" 2>/dev/null && complain "attestd's user writes to $place"
done
$as_front sh -c ': <"$1"' - "$dir/front/tls.key" || complain "attestd cannot read its own key"
$as_keeper sh -c ': <"$1"' - "$dir/front/tls.key" 2>/dev/null && complain "the signer's user reads attestd's key"

# Memory and environment: root can, the other user cannot.
for what in mem environ maps; do
    sh -c ': <"$1"' - /proc/$signer/$what || complain "even root cannot open $what"
    $as_front sh -c ': <"$1"' - /proc/$signer/$what 2>/dev/null && complain "attestd's user opens the signer's $what"
    $as_keeper sh -c ': <"$1"' - /proc/$attestd/$what 2>/dev/null && complain "the signer's user opens attestd's $what"
done
$as_front kill -0 $signer 2>/dev/null && complain "attestd's user may signal the signer"
# The address sanitizer's build stays traceable for its leak check.
if ! nm "$dir/bin/attest-signer" 2>/dev/null | grep -q __asan_init; then
    $as_keeper sh -c ': <"$1"' - /proc/$signer/mem 2>/dev/null && complain "the signer's own user opens its memory"
fi

# Sockets: by the file's mode, by the peer's user, and by what each socket serves.
ctl=$dir/bin/attestctl
"$ctl" key list --socket "$dir/run/signer/admin.sock" >"$dir/log" 2>&1 || give_up "root cannot list the keys" "$dir/log"
$as_front "$ctl" key list --socket "$dir/run/signer/admin.sock" >"$dir/log" 2>&1 &&
    complain "attestd's user speaks on the admin socket"
grep -q 'not permitted' "$dir/log" || complain "refused for another reason: $(cat "$dir/log")"
$as_front_admin "$ctl" key list --socket "$dir/run/signer/admin.sock" >"$dir/log" 2>&1 &&
    complain "the admins' group alone is enough for the admin socket"
$as_front "$ctl" key list --socket "$dir/run/signer/signer.sock" >"$dir/log" 2>&1 &&
    complain "signer.sock lists keys"
$as_front "$ctl" key generate --purpose token --socket "$dir/run/signer/signer.sock" >"$dir/log" 2>&1 &&
    complain "signer.sock makes keys"

# None of this has hurt either daemon.
[ "$(ask http://localhost/readyz)" = 200 ] || complain "attestd is not ready any more"
for pid in $signer $attestd; do kill -0 $pid || complain "process $pid is gone"; done
grep -qF "$(cat "$dir/credentials/pin")" "$dir/signer.log" && complain "the PIN is in the signer's log"
[ $failed -eq 0 ] || { tail -n 20 "$dir/signer.log" "$dir/attestd.log"; }
exit $failed
