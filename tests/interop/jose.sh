#!/bin/sh
# npm's jose verifies our tokens from our served key set, and we verify what it signed.
set -u
peer=$top_builddir/interop-npm
sh "$top_srcdir/tests/interop/npm.sh" "$peer" || exit 77
. "$top_srcdir/tests/interop/interop.sh"
start_issuer
ours_verifies_there node "$peer/jose.mjs"
theirs_verifies_here node "$peer/jose.mjs"
rides_along node "$peer/jose.mjs"
exit $failed
