#!/bin/sh
# What the documents show is true: the C of the README, of docs/verifier.md and of libattest(3) compiles as it stands, and
# the token of docs/protocol.md was signed by the key that it names.
set -u
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
compiler=${CC:-cc}
command -v "${compiler%% *}" >/dev/null || { echo "no C compiler: apt-get install gcc"; exit 77; }
failed=0

# compiles NAME: $dir/NAME.c, in which nothing may go unused but the example's own functions.
compiles() {
    [ -s "$dir/$1.c" ] || { echo "$1: no example found"; failed=1; return; }
    $compiler -std=c11 -Wall -Wextra -Werror -Wno-unused-function -fsyntax-only \
        -I "$top_srcdir/include" "$dir/$1.c" || { echo "$1: the example does not compile"; failed=1; }
}

sed -n '/^```c$/,/^```$/p' "$top_srcdir/README.md" | grep -v '^```' >"$dir/readme.c"
compiles readme
sed -n '/^```c$/,/^```$/p' "$top_srcdir/docs/verifier.md" | grep -v '^```' >"$dir/verifier.c"
compiles verifier
{
    printf '#include <attest/attest.h>\n'
    sed -n '/^\.Sh EXAMPLES/,/^\.Ed/p' "$top_srcdir/docs/man/libattest.3" | grep -v '^\.'
} >"$dir/page.c"
compiles page

# Those above the declarations, each by itself, in a function that has a policy and an error.
printf '#include <attest/attest.h>\n' >"$dir/headers.c"
for header in "$top_srcdir"/include/attest/*.h; do
    awk -v name="$(basename "$header" .h)" '
        /^ \*$/ { block = 1; if (n) code = code "}\n{"; next }
        block && /^ \*     / { if (!n++) code = "{"; code = code substr($0, 8) "\n"; next }
        { block = 0 }
        END {
            if (n) printf "static void\n%s_example(struct attest_policy *policy)\n" \
                "{\nstruct attest_error err;\n(void)policy;\n%s}\n}\n", name, code
        }' "$header" >>"$dir/headers.c"
done
[ "$(grep -c attest_error "$dir/headers.c")" -ge 2 ] || { echo "the headers have fewer examples"; failed=1; }
compiles headers

# It has expired long ago, and expiry is looked at only behind a signature that holds.
sed -n '/^Token:$/,/^## /s/^    //p' "$top_srcdir/docs/protocol.md" | tr -d '\n' >"$dir/token"
kid=$(sed -n 's/^    {"alg":"EdDSA","typ":"JWT","kid":"\([^"]*\)"}$/\1/p' "$top_srcdir/docs/protocol.md")
printf '{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"%s","x":"%s","use":"sig"}]}' \
    "$kid" 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo >"$dir/jwks.json"
"$top_builddir/attest" verify --issuer https://ai.example.com --audience https://mcp.example.com \
    --jwks "$dir/jwks.json" - <"$dir/token" >"$dir/verdict"
grep -q '"error_code": *1001' "$dir/verdict" || {
    echo "the token of docs/protocol.md:"
    cat "$dir/verdict"
    failed=1
}
exit $failed
