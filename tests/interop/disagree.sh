#!/bin/sh
# Thousands of generated tokens through libattest, npm's jose and PyJWT, each with the same key set,
# issuer, audience and tolerance. Nothing that we accept is refused by another, so we are nowhere the
# looser; what we refuse and another accepts is of a kind that disagree.txt gives a reason for.
#
#   DISAGREE_TOKENS (3,000), DISAGREE_SEED (1)
set -u
: "${DISAGREE_TOKENS:=3000}" "${DISAGREE_SEED:=1}"
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
many=$top_builddir/tests/support/many_tokens
issuer=https://ai.example.com
audience=https://mcp.example.com
failed=0
peers=0

echo "$DISAGREE_TOKENS tokens from seed $DISAGREE_SEED"
"$many" jwks >"$dir/jwks.json" || exit 1
if ! "$many" tokens "$DISAGREE_SEED" "$DISAGREE_TOKENS" >"$dir/ours" 2>"$dir/err"; then
    head -n 5 "$dir/err"
    echo "disagree: libattest did not say what it should"
    exit 1
fi
cut -d' ' -f3 "$dir/ours" >"$dir/tokens"

# compare NAME COMMAND…: what this one says of each, beside what we say.
compare() {
    name=$1
    shift
    if ! "$@" judge "$dir/jwks.json" "$issuer" "$audience" <"$dir/tokens" >"$dir/theirs" 2>"$dir/err" ||
        [ "$(wc -l <"$dir/theirs")" -ne "$DISAGREE_TOKENS" ]; then
        tail -n 5 "$dir/err"
        echo "disagree: $name did not judge all of them"
        failed=1
        return
    fi
    peers=$((peers + 1))
    paste -d' ' "$dir/ours" "$dir/theirs" | awk -v peer="$name" -v table="$top_srcdir/tests/interop/disagree.txt" '
        BEGIN {
            while ((getline row <table) > 0)
                if (split(row, word, " ") >= 3 && row !~ /^#/) why[word[1], word[2]] = word[3]
        }
        { both[$2 == 0, $4 == "ok"]++ }
        $2 == 0 && $4 != "ok" {
            print "we are the looser: " peer " says " $5 " of a token of the kind " $1 ": " $3
            bad = 1
        }
        $2 != 0 && $4 == "ok" && !(($1, $2) in why) {
            if (!told[$1, $2]++)
                print "without a reason in disagree.txt: " $1 " is " $2 " here, and good for " peer ": " $3
            bad = 1
        }
        $2 != 0 && $4 == "ok" { n[why[$1, $2]]++ }
        END {
            printf "%s: accepted by both %d, refused by both %d, by us alone %d:", peer,
                both[1, 1], both[0, 0], both[0, 1]
            for (w in n) printf " %s %d", w, n[w]
            print ""
            exit bad
        }' || failed=1
}

if sh "$top_srcdir/tests/interop/npm.sh" "$top_builddir/interop-npm"; then
    compare jose node "$top_builddir/interop-npm/jose.mjs"
fi
python=/usr/bin/python3
[ -x $python ] || python=$(command -v python3) || python=
if [ -n "$python" ] && $python -c 'import jwt, cryptography' 2>/dev/null; then
    compare PyJWT $python "$top_srcdir/tests/interop/pyjwt.py"
fi
if [ $failed -eq 0 ] && [ $peers -lt 2 ]; then
    echo "one of them is not here: apt-get install nodejs npm python3-jwt python3-cryptography"
    exit 77
fi
exit $failed
