#!/bin/sh
# Fails on an include that goes against tests/arrows.txt, and on a program linked to what it must
# not need.
set -u
cd "$top_srcdir" || exit 1
table=tests/arrows.txt
failed=0

complain() {
    echo "arrows: $*"
    failed=1
}

room_of_file() {
    case "$1" in
    hsm/*) echo hsm ;;
    jwks/*) echo jwks ;;
    include/*) echo api ;;
    src/*) echo "$1" | cut -d/ -f2 ;;
    esac
}

for file in $(find src hsm jwks -name '*.[ch]'); do
    room=$(room_of_file "$file")
    allowed=$(sed -n "s/^$room://p" $table)
    grep -q "^$room:" $table || complain "$file: room '$room' is not in $table"
    for inc in $(sed -n 's/^#include "\([^"]*\)".*/\1/p' "$file"); do
        to=${inc%%/*}
        case "$inc" in config.h) continue ;; */*) ;; *) complain "$file: \"$inc\" names no room" ;; esac
        case " $room $allowed " in
        *" $to "* | *" $inc "*) ;;
        *) complain "$file: $room may not include $to ($inc)" ;;
        esac
    done
    for inc in $(sed -n 's/^#include <\([^>]*\)>.*/\1/p' "$file"); do
        case "$inc" in
        attest/error.h) continue ;;
        attest/*)
            case " $allowed " in *" api "*) ;; *) complain "$file: $room may not include $inc" ;; esac
            ;;
        esac
        sed -n 's/^header //p' $table | while read -r header rooms; do
            case "$inc" in
            "$header"*)
                case " $rooms " in *" $room "*) ;; *) echo "$file: $room may not see <$inc>" ;; esac
                ;;
            esac
        done >"${TMPDIR:-/tmp}/arrows.$$"
        while read -r line; do complain "$line"; done <"${TMPDIR:-/tmp}/arrows.$$"
    done
done
rm -f "${TMPDIR:-/tmp}/arrows.$$"

for header in include/attest/*.h; do
    grep -nE '#include <(jansson|openssl|sodium|curl)' "$header" && complain "$header shows a library's types"
done

sed -n 's/^nolink //p' $table >"${TMPDIR:-/tmp}/arrows.$$"
while read -r program libraries; do
    for binary in "$top_builddir/.libs/$program" "$top_builddir/$program" "$top_builddir/.libs/$program.so"; do
        [ -f "$binary" ] || continue
        needed=$(readelf -d "$binary" 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
        for library in $libraries; do
            echo "$needed" | grep -q "^$library\.so\|^$library-" && complain "$program needs $library"
        done
    done
done <"${TMPDIR:-/tmp}/arrows.$$"
rm -f "${TMPDIR:-/tmp}/arrows.$$"
exit $failed
