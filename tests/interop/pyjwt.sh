#!/bin/sh
# Python's PyJWT verifies our tokens from our served key set, and we verify what it signed.
set -u
python=/usr/bin/python3
[ -x $python ] || python=$(command -v python3) || python=
[ -n "$python" ] && $python -c 'import jwt, cryptography' 2>/dev/null || {
    echo "no PyJWT: apt-get install python3-jwt python3-cryptography"
    exit 77
}
. "$top_srcdir/tests/interop/interop.sh"
start_issuer
ours_verifies_there $python "$top_srcdir/tests/interop/pyjwt.py"
theirs_verifies_here $python "$top_srcdir/tests/interop/pyjwt.py"
rides_along $python "$top_srcdir/tests/interop/pyjwt.py"
exit $failed
