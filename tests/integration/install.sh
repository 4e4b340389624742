#!/bin/sh
# make install puts everything where it belongs, and a program of someone else's finds libattest by
# pkg-config, shared and static.
set -u
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0
complain() {
    echo "install: $*"
    failed=1
}

# A make of its own: the one that runs this test is not to be talked to.
unset MAKEFLAGS MFLAGS MAKELEVEL
make -C "$top_builddir" install DESTDIR="$dir/root" >"$dir/log" 2>&1 || {
    tail -n 30 "$dir/log"
    exit 1
}
variable() { sed -n "s|^$1 = ||p" "$top_builddir/Makefile"; }
prefix=$(variable prefix)
root=$dir/root$prefix

for file in bin/attest bin/attestctl sbin/attestd sbin/attest-signer; do
    [ -x "$root/$file" ] || { complain "$file is missing"; continue; }
    # Not the script that libtool keeps in its place in the build tree.
    readelf -h "$root/$file" >/dev/null 2>&1 || complain "$file is no program"
done
for file in lib/libattest.so lib/libattest.a lib/pkgconfig/libattest.pc include/attest/error.h \
    lib/systemd/system/attestd.service lib/systemd/system/attestd.socket \
    lib/systemd/system/attest-signer.service lib/sysusers.d/attestd.conf \
    share/doc/attestd/examples/attestd.yaml share/doc/attestd/examples/attest-signer.yaml \
    share/doc/attestd/examples/attest-signer-tpm.conf share/doc/attestd/examples/attest-signer-no-pin.conf \
    share/doc/attestd/examples/server.c share/doc/attestd/examples/loop.c \
    share/doc/attestd/verifier.md share/doc/attestd/README.md; do
    [ -e "$root/$file" ] || complain "$file is missing"
done
nm -g --defined-only "$root/lib/libattest.a" | awk 'NF == 3 { print $3 }' | LC_ALL=C sort |
    diff "$top_srcdir/src/verify/libattest.symbols" - >&2 || complain "the static library has other names"

# Nothing of the house's inside, only what include/attest holds.
for file in "$top_srcdir"/include/attest/*.h; do
    [ -e "$root/include/attest/$(basename "$file")" ] || complain "$(basename "$file") is not installed"
done

# It reaches into all that the library is made of, so that a static link lacks nothing either: Redis
# and fetching may be left out of a build, but then they say so.
cat >"$dir/user.c" <<'END'
#include <attest/attest.h>
#include <stdio.h>
#include <string.h>

static int
made_or_left_out(const char *what, enum attest_rc rc, enum attest_rc expected)
{
    if (rc == expected || rc == ATTEST_E_UNSUPPORTED)
        return 0;
    printf("%s: %s\n", what, attest_strerror(rc));
    return 1;
}

int
main(void)
{
    struct attest_policy *policy = NULL;
    struct attest_verifier *verifier = NULL;
    struct attest_replay *replay = NULL;
    if (strcmp(attest_version(), ATTEST_VERSION) != 0 || attest_policy_new(&policy, NULL) ||
        attest_policy_add_audience(policy, "https://mcp.example.com", NULL) ||
        attest_policy_add_issuer(policy, "https://ai.example.com", ATTEST_TRUST_PROVIDER, NULL) ||
        attest_policy_freeze(policy, NULL))
        return 1;
    int failed = made_or_left_out(
        "fetching", attest_verifier_new_fetching(policy, NULL, NULL, NULL, &verifier, NULL), ATTEST_OK);
    failed |= made_or_left_out(
        "redis", attest_replay_new_redis("redis://127.0.0.1:1", 100, &replay, NULL), ATTEST_E_IO);
    attest_replay_free(replay);
    attest_verifier_free(verifier);
    attest_policy_free(policy);
    return failed;
}
END
compiler=$(variable CC)
sanitizer=$(variable HARDEN_LDFLAGS | grep -o -- '-fsanitize=[a-z,]*')
# The machine's own libraries are where they are, so that no sysroot would do: this one has moved.
mkdir "$dir/pc"
sed "s|^prefix=.*|prefix=$root|" "$root/lib/pkgconfig/libattest.pc" >"$dir/pc/libattest.pc"
export PKG_CONFIG_PATH="$dir/pc"
pkg-config --exists --print-errors libattest || complain "pkg-config does not find libattest"

# builds NAME: server.c as the command of docs/verifier.md in NAME.command builds it.
cc() { $compiler $sanitizer -Wall -Werror "$@" -Wl,-rpath-link,"$root/lib"; }
builds() {
    eval "$(cat "$1.command")" 2>log || complain "$1: $(cat log)"
    mv server "$1"
}
cd "$dir" || exit 1
mv user.c server.c
grep '^    cc -o server server\.c .*--libs libattest)$' "$top_srcdir/docs/verifier.md" >shared.command
sed -n '/^    cc -o server server\.c.*\\$/,/[^\\]$/p' "$top_srcdir/docs/verifier.md" >static.command
builds shared
LD_LIBRARY_PATH="$root/lib" ./shared || complain "the shared program does not run"
needed=$(readelf -d shared | grep -c 'NEEDED.*libattest\.so')
[ "$needed" -eq 1 ] || complain "the shared program does not load libattest"

# The archive is one object, so that all of it is linked, and not only what this program reaches.
builds static
./static || complain "the static program does not run"
readelf -d static | grep -q 'NEEDED.*libattest' && complain "the static program loads libattest"

make -C "$top_builddir" uninstall DESTDIR="$dir/root" >"$dir/log" 2>&1 || complain "$(tail -n 5 "$dir/log")"
left=$(find "$dir/root" ! -type d | head -n 5)
[ -z "$left" ] || complain "uninstall leaves $left"
exit $failed
