#!/bin/sh
# TLS in attestd: versions, what it does not speak, a new certificate on SIGHUP without a connection
# lost, a bad one kept out, and that no PKCS#11 module is ever loaded.
set -u
command -v curl >/dev/null || { echo "no curl: apt-get install curl"; exit 77; }
command -v openssl >/dev/null || { echo "no openssl: apt-get install openssl"; exit 77; }
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/attestd.sh"
client=
trap '[ -n "$client" ] && kill "$client"; [ -n "$attestd_pid" ] && kill "$attestd_pid"; rm -rf "$dir"' EXIT

# certificate NAME: $dir/NAME.pem and .key
certificate() {
    (umask 077 && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
        -keyout "$dir/$1.key" -out "$dir/$1.pem" -days 2 -subj "/CN=$1" \
        -addext 'subjectAltName=IP:127.0.0.1' 2>"$dir/err") || { cat "$dir/err"; exit 1; }
}
use() { cp "$dir/$1.pem" "$dir/tls.pem" && cp "$dir/$2.key" "$dir/tls.key"; }
served() {
    echo | openssl s_client -connect "127.0.0.1:$port" 2>/dev/null | sed -n 's/^subject=CN *= *//p'
}
handshake() { echo | openssl s_client -connect "127.0.0.1:$port" "$@" >"$dir/out" 2>&1; }

certificate first
certificate second
use first first
attestd_config "listen: [\"127.0.0.1:0\", \"unix:$dir/a.sock\"]" \
    "tls: {certificate: $dir/tls.pem, key: $dir/tls.key}" 'request_timeout_ms: 5000'
attestd_start
base=https://127.0.0.1:$port

ask 200 --cacert "$dir/first.pem" "$base/healthz"
ask 200 --cacert "$dir/first.pem" --tls-max 1.2 "$base/healthz"
ask 200 --cacert "$dir/first.pem" --tlsv1.3 "$base/healthz"
ask 200 --unix-socket "$dir/a.sock" http://a/healthz
ask 000 "http://127.0.0.1:$port/healthz"
ask 200 "http://127.0.0.1:$admin_port/metrics"
handshake -tls1_1 -cipher DEFAULT:@SECLEVEL=0 && complain 'TLS 1.1 is spoken'
handshake -tls1_2 -cipher AES128-SHA:@SECLEVEL=0 && complain 'a cipher suite of another age'
[ "$(served)" = first ] || complain "not the first certificate: $(served)"

# a NUL is found behind TLS too
printf 'GET /healthz HTTP/1.1\r\nHost: a\r\nX: y\0\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n' |
    openssl s_client -quiet -connect "127.0.0.1:$port" >"$dir/out" 2>/dev/null
out_has '^HTTP/1.1 400'
[ "$(grep -o 'HTTP/1.1 ' "$dir/out" | wc -l)" = 1 ] || complain 'more than one answer'

# one connection lives through the change of certificates
mkfifo "$dir/requests"
openssl s_client -quiet -connect "127.0.0.1:$port" <"$dir/requests" >"$dir/answers" 2>/dev/null &
client=$!
exec 3>"$dir/requests"
answers() { [ "$(grep -o 'HTTP/1.1 200' "$dir/answers" | wc -l)" = "$1" ]; }
printf 'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n' >&3
wait_for 20 answers 1 || complain 'no first answer'
use second second
kill -HUP "$attestd_pid"
wait_for 20 grep -q 'event=reloaded' "$dir/attestd.log" || complain 'nothing was reloaded'
[ "$(served)" = second ] || complain "not the second certificate: $(served)"
printf 'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n' >&3
wait_for 20 answers 2 || complain 'the connection did not outlive the change'
exec 3>&-
kill "$client"
client=

# what does not belong together is not taken
use first second
kill -HUP "$attestd_pid"
wait_for 20 grep -q 'event=reload_failed' "$dir/attestd.log" || complain 'a bad pair was taken'
[ "$(served)" = second ] || complain 'the old pair is gone'

# a handshake that stalls is ended at the deadline
exec 4<>"$dir/requests"
curl -s -m 60 "telnet://127.0.0.1:$port" <"$dir/requests" &
client=$!
late() { [ "$(metric 'attestd_refused_total{reason="request_late"}')" -ge 1 ]; }
wait_for 20 late || complain 'the stalled handshake goes on'
kill "$client"
client=

grep -E 'p11-kit-proxy|softhsm|pkcs11/' "/proc/$attestd_pid/maps" && complain 'a PKCS#11 module is loaded'
attestd_stop

# and at the start
attestd_config "tls: {certificate: $dir/tls.pem, key: $dir/tls.key}"
run "$top_builddir/attestd" --config "$dir/attestd.yaml"
expect 1; err_has 'tls.key'; err_is_one_line
attestd_config "tls: {certificate: $dir/missing.pem, key: $dir/tls.key}"
run "$top_builddir/attestd" --config "$dir/attestd.yaml"
expect 3; err_has 'missing.pem'
exit $failed
