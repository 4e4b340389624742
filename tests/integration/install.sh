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
    share/doc/attestd/README.md; do
    [ -e "$root/$file" ] || complain "$file is missing"
done
# Nothing of the house's inside, only what include/attest holds.
for file in "$top_srcdir"/include/attest/*.h; do
    [ -e "$root/include/attest/$(basename "$file")" ] || complain "$(basename "$file") is not installed"
done

cat >"$dir/user.c" <<'END'
#include <attest/error.h>
#include <stdio.h>
#include <string.h>

int
main(void)
{
    puts(attest_strerror(ATTEST_E_SIGNATURE));
    return strcmp(attest_strerror(ATTEST_E_SIGNATURE), "signature invalid") != 0;
}
END
compiler=$(variable CC)
sanitizer=$(variable HARDEN_LDFLAGS | grep -o -- '-fsanitize=[a-z,]*')
PKG_CONFIG_LIBDIR=
export PKG_CONFIG_PATH="$root/lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$dir/root"
pkg-config --exists libattest || complain "pkg-config does not find libattest"
# With a sysroot, the paths of the machine's own libraries would be moved too: only ours are used.
flags=$(pkg-config --cflags --libs-only-L libattest | tr ' ' '\n' | grep "^-[IL]$dir/" | tr '\n' ' ')
$compiler $sanitizer -Wall -Werror -o "$dir/shared" "$dir/user.c" $flags -lattest \
    -Wl,-rpath-link,"$root/lib" 2>"$dir/log" || complain "shared: $(cat "$dir/log")"
LD_LIBRARY_PATH="$root/lib" "$dir/shared" >/dev/null || complain "the shared program does not run"
needed=$(readelf -d "$dir/shared" | grep -c 'NEEDED.*libattest\.so')
[ "$needed" -eq 1 ] || complain "the shared program does not load libattest"

others=$(pkg-config --static --libs-only-l libattest | sed 's/-lattest//')
$compiler $sanitizer -Wall -Werror -o "$dir/static" "$dir/user.c" $flags \
    -Wl,-Bstatic -lattest -Wl,-Bdynamic $others 2>"$dir/log" || complain "static: $(cat "$dir/log")"
"$dir/static" >/dev/null || complain "the static program does not run"
readelf -d "$dir/static" | grep -q 'NEEDED.*libattest' && complain "the static program loads libattest"

make -C "$top_builddir" uninstall DESTDIR="$dir/root" >"$dir/log" 2>&1 || complain "$(tail -n 5 "$dir/log")"
left=$(find "$dir/root" ! -type d | head -n 5)
[ -z "$left" ] || complain "uninstall leaves $left"
exit $failed
