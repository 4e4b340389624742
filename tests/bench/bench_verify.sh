#!/bin/sh
# One token through attest_verify() and attest_verifier_check(), beside libsodium's bare signature and
# beside the libraries that people use elsewhere: those of C that were there at build time, and, as
# programs of their own, npm's jose and fast-jwt, PyJWT and golang-jwt. What cannot be installed here
# is named as not measured.
# SPDX-License-Identifier: MIT
. "$top_srcdir/tests/bench/lib.sh"

from=$top_srcdir/tests/bench/peers
peers=$top_builddir/bench-peers
mkdir -p "$peers" || exit 3

# Fails for each of them when it does not answer; `verify` says so in its table.
npm_peers() {
    for file in package.json package-lock.json .npmrc lines.mjs jose.mjs fast-jwt.mjs; do
        install -m 644 "$from/$file" "$peers/" || return
    done
    [ -d "$peers/node_modules/fast-jwt" ] && return
    have npm npm || return
    (cd "$peers" && npm ci --cache ./cache) >"$work/npm.err" 2>&1 || tail -3 "$work/npm.err" >&2
}
go_peer() {
    have go golang-go || return
    (cd "$from/golang-jwt" && CGO_ENABLED=0 go build -mod=readonly -buildvcs=false -trimpath \
        -o "$peers/golang-jwt" .) >"$work/go.err" 2>&1 || tail -3 "$work/go.err" >&2
}
npm_peers
go_peer
python=/usr/bin/python3
[ -x $python ] || python=python3

# Go's collector on the one processor that all others have, too: what is measured is CPU time.
"$bench/verify" --seconds "$BENCH_SECONDS" \
    --peer "jose=exec node '$peers/jose.mjs' 2>/dev/null" \
    --peer "fast-jwt=exec node '$peers/fast-jwt.mjs' 2>/dev/null" \
    --peer "PyJWT=exec $python '$from/pyjwt.py' 2>/dev/null" \
    --peer "golang-jwt=GOMAXPROCS=1 exec '$peers/golang-jwt' 2>/dev/null"
