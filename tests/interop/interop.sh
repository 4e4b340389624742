# SPDX-License-Identifier: MIT
# What both interoperability tests do, once PEER runs the other side: our token verifies there from
# our served key set and a spoilt one does not, a token made there verifies here, and the other side
# rides through a rotation and a revocation with the key sets that it keeps.
dir=$(mktemp -d) || exit 1
trap 'stop_issuer; rm -rf "$dir"' EXIT
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/issuer.sh"
. "$top_srcdir/tests/support/keys.sh"

# Key sets may be kept for two seconds.
EXTRA_SIGNER='lifetime_default_s: 60
lifetime_max_s: 60
jwks_max_age_s: 1
rollover:
  active_period_s: 3600
  jitter_s: 0
  publish_lead_s: 3
  retire_lag_s: 60
  verifier_cache_max_s: 1
  propagation_s: 1
  skew_s: 0'

audience=https://mcp.example.com

# spoil FILE: another character in the middle of the signature.
spoil() {
    awk -F. '{ at = 20; c = substr($3, at, 1) == "A" ? "B" : "A"
        print $1 "." $2 "." substr($3, 1, at - 1) c substr($3, at + 1) }' "$1"
}

mint() {
    "$top_builddir/attest" token --socket "$MINT_SOCKET" --audience "$audience" \
        --model-family claude-4 --model-version claude-sonnet-4 --provider anthropic "$@"
}

# with FILE COMMAND…: run with standard input from a file.
with() {
    input=$1
    shift
    what="$*"
    status=0
    "$@" <"$input" >"$dir/out" 2>"$dir/err" || status=$?
}

ours_verifies_there() {
    mint >"$dir/token" 2>"$dir/err" || complain "no token was minted"
    with "$dir/token" "$@" verify "$ISSUER" "$audience"
    expect 0
    out_has '^spiffe://127.0.0.1/model/claude-sonnet-4$'
    with "$dir/token" "$@" verify "$ISSUER" "$audience/other"
    expect 1
    spoil "$dir/token" >"$dir/spoilt"
    with "$dir/spoilt" "$@" verify "$ISSUER" "$audience"
    expect 1
}

theirs_verifies_here() {
    cat >"$dir/claims.json" <<END
{"iss": "https://ai.example.com", "sub": "spiffe://ai.example.com/model/m-1", "aud": "$audience",
 "jti": "6f1de5b7-2f0f-4c5c-9d3c-0a1b2c3d4e5f",
 "agent_identity": {"model_family": "m", "model_version": "m-1", "provider": "p"},
 "attestation_metadata": {"attestation_version": "0.1.0", "attestation_type": "provider",
  "safety_level": "standard", "capabilities_declared": ["tools", "r\u00e9sum\u00e9"]}}
END
    "$@" sign "$dir/claims.json" "$dir/jwks.json" "their key/1" >"$dir/theirs" 2>"$dir/err" ||
        complain "$* did not sign"
    with "$dir/theirs" "$top_builddir/attest" verify --issuer https://ai.example.com \
        --jwks "$dir/jwks.json" --audience "$audience" -
    expect 0
    out_has '"verified": *true'
    with "$dir/theirs" "$top_builddir/attest" verify --issuer https://ai.example.com \
        --jwks "$dir/jwks.json" --audience "$audience/other" -
    expect 1
    out_has '"error_code": *1005'
    spoil "$dir/theirs" >"$dir/spoilt"
    with "$dir/spoilt" "$top_builddir/attest" verify --issuer https://ai.example.com \
        --jwks "$dir/jwks.json" --audience "$audience" -
    expect 1
    out_has '"error_code": *1003'
}

active_kid() { key_table "$ADMIN_SOCKET" | awk '$2 == "token" && $3 == "active" { print $1 }'; }

# Until the standby may sign.
wait_standby() {
    tries=0
    until key_table "$ADMIN_SOCKET" | awk -v now="$(date +%s)" \
        '$2 == "token" && $3 == "published" && $5 + 3 <= now' | grep -q .; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || { complain "no standby gets ready"; return; }
        sleep 0.1
    done
}

# peer_says WANTED FILE WHAT: what the other side, which goes on running, says of the token in FILE.
peer_says() {
    [ -s "$2" ] || { complain "$3: there is no token to ask about"; return; }
    cat "$2" >&3
    answer=$(timeout 120 head -n 1 <&4) # one line an answer: none is there to be read ahead
    case $answer in
    $1*) ;;
    *) complain "$3: the other side says '$answer', not '$1'" ;;
    esac
}

# new_tokens_for SECONDS: each is good there.
new_tokens_for() {
    end=$(($(date +%s) + $1))
    while [ "$(date +%s)" -le $end ]; do
        mint >"$dir/new" 2>"$dir/err" || complain "no token was minted"
        peer_says ok "$dir/new" "a new token"
    done
}

rides_along() {
    mkfifo "$dir/to_peer" "$dir/from_peer"
    "$@" ride "$ISSUER" "$audience" <"$dir/to_peer" >"$dir/from_peer" 2>"$dir/peer.err" &
    peer_pid=$!
    exec 3>"$dir/to_peer" 4<"$dir/from_peer"

    wait_standby
    first=$(active_kid)
    mint >"$dir/first" || complain "no token was minted"
    peer_says ok "$dir/first" "a token of before the rotation"
    run "$top_builddir/attestctl" key rotate --socket "$ADMIN_SOCKET"
    expect 0
    new_tokens_for 3
    second=$(active_kid)
    [ -n "$second" ] && [ "$second" != "$first" ] || complain "nothing was rotated"
    peer_says ok "$dir/first" "a token of before the rotation, after it"

    wait_standby
    mint >"$dir/second" || complain "no token was minted"
    peer_says ok "$dir/second" "a token of the second key"
    run "$top_builddir/attestctl" key revoke --socket "$ADMIN_SOCKET" --reason 'a test' "$second"
    expect 0
    # Two seconds in its cache, one for the change to get there, and the one that has begun.
    new_tokens_for 4
    [ "$(active_kid)" != "$second" ] || complain "the revoked key is active"
    peer_says no "$dir/second" "a token of the revoked key"
    peer_says ok "$dir/first" "a token of a retired key, after a revocation"
    exec 3>&- 4<&-
    wait $peer_pid || { cp "$dir/peer.err" "$dir/err"; complain "the other side failed"; }
}
