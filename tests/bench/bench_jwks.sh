#!/bin/sh
# The key set beside nginx serving the same bytes from a file, on the same cores, to the same load
# program, in turns. nginx has as many workers as attestd has threads, keeps the file open, logs
# nothing, and sends the same headers; without sendfile, which costs it a third more CPU on a file as
# small as this.
# SPDX-License-Identifier: MIT
. "$top_srcdir/tests/bench/lib.sh"

rounds=7
seconds=$(calc "$BENCH_SECONDS / $rounds")
path=/.well-known/jwks.json
PATH=$PATH:/usr/sbin
if ! have nginx nginx-light; then
    row "$path, responses/s" "no nginx here" "-" "-" ">= 0.95" "not measured"
    exit 0
fi
make_token
start_signer jwks 2
start_attestd jwks "threads: 2"
ours=$address

mkdir -p "$work/www/.well-known" "$work/nginx"
"$bench/load" --fetch "$ours" $path >"$work/www$path" || die "no key set"
theirs=127.0.0.1:$(free_port)
cat >"$work/nginx.conf" <<END
daemon off;
worker_processes 2;
pid $work/nginx/pid;
error_log $work/nginx.err;
$([ "$(id -u)" -ne 0 ] || echo "user root;")
events { worker_connections 1024; use epoll; }
http {
    access_log off;
    sendfile off;
    tcp_nodelay on;
    open_file_cache max=16 inactive=1h;
    open_file_cache_valid 1h;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    types { application/json json; }
    client_body_temp_path $work/nginx/1;
    proxy_temp_path $work/nginx/2;
    fastcgi_temp_path $work/nginx/3;
    uwsgi_temp_path $work/nginx/4;
    scgi_temp_path $work/nginx/5;
    server {
        listen $theirs;
        root $work/www;
        add_header Cache-Control "public, max-age=300";
        add_header Access-Control-Allow-Origin "*";
    }
}
END
nginx -c "$work/nginx.conf" 2>"$work/nginx-start.err" &
nginx_pid=$!
pids="$pids $nginx_pid"
wait_for 10 "$bench/load" --count 1 --connections 1 "$theirs" $path || die "nginx does not start"

nginx_cpu_ns() {
    for p in $(cat "/proc/$nginx_pid/task/$nginx_pid/children"); do cpu_ns "$p"; done |
        awk '{ s += $1 } END { printf "%.0f\n", s }'
}
load() {
    "$bench/load" --connections 64 --seconds "$seconds" --warmup 0.2 "$1" $path >"$work/load.json" ||
        die "not every answer was 200: $(cat "$work/load.json")"
}
# CPU in microseconds of each response, from two readings in nanoseconds.
each_us() { calc "($2 - $1) / 1000 / $(field responses <"$work/load.json")" 2; }

for a in $ours $theirs; do load "$a"; done
for i in $(seq $rounds); do
    before=$(cpu_ns "$attestd_pid")
    load "$ours"
    each_us "$before" "$(cpu_ns "$attestd_pid")" >>"$work/ours_us"
    field per_s <"$work/load.json" >>"$work/ours"
    before=$(nginx_cpu_ns)
    load "$theirs"
    each_us "$before" "$(nginx_cpu_ns)" >>"$work/theirs_us"
    field per_s <"$work/load.json" >>"$work/theirs"
done
ratio=$(paste "$work/ours" "$work/theirs" | awk '{ printf "%.3f\n", $1 / $2 }' | median)
row "$path, responses/s" "$(median <"$work/ours")" "nginx $(median <"$work/theirs")" "$ratio" \
    ">= 0.95" "$(verdict "$ratio >= 0.95")"
a=$(median <"$work/ours_us") b=$(median <"$work/theirs_us")
row "$path, CPU a response" "$a us" "nginx $b us" "$(calc "$b / $a")" "-" "-"
