#!/bin/sh
# npm's jose verifies our tokens from our served key set, and we verify what it signed.
set -u
command -v node >/dev/null && command -v npm >/dev/null || {
    echo "no node or npm: apt-get install nodejs npm"
    exit 77
}
peer=$top_builddir/interop-npm
mkdir -p "$peer" || exit 1
for file in package.json package-lock.json .npmrc jose.mjs; do
    install -m 644 "$top_srcdir/tests/interop/$file" "$peer/" || exit 1
done
if [ ! -d "$peer/node_modules/jose" ]; then
    (cd "$peer" && npm ci --cache ./cache) >"$peer/npm.log" 2>&1 || {
        tail -n 5 "$peer/npm.log"
        echo "npm cannot install jose here"
        exit 77
    }
fi
. "$top_srcdir/tests/interop/interop.sh"
start_issuer
ours_verifies_there node "$peer/jose.mjs"
theirs_verifies_here node "$peer/jose.mjs"
rides_along node "$peer/jose.mjs"
exit $failed
