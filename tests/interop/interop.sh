# SPDX-License-Identifier: MIT
# What both interoperability tests do, once PEER runs the other side: our token verifies there from
# our served key set and a spoilt one does not, and a token made there verifies here.
dir=$(mktemp -d) || exit 1
trap 'stop_issuer; rm -rf "$dir"' EXIT
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/issuer.sh"

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
