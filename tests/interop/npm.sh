#!/bin/sh
# npm.sh DIR: installs what the tests need of npm there, once; tests that run side by side may ask for
# it at the same time.
set -u
peer=$1
here=$(dirname "$0")
command -v node >/dev/null && command -v npm >/dev/null || {
    echo "no node or npm: apt-get install nodejs npm"
    exit 1
}
mkdir -p "$peer" && exec 9>"$peer/lock" && flock -w 240 9 || exit 1
for file in package.json package-lock.json .npmrc jose.mjs; do
    # By rename: another test may be reading it.
    cmp -s "$here/$file" "$peer/$file" && continue
    install -m 644 "$here/$file" "$peer/$file.new" && mv "$peer/$file.new" "$peer/$file" || exit 1
done
[ -d "$peer/node_modules/jose" ] && exit 0
(cd "$peer" && npm ci --cache ./cache 9>&-) >"$peer/npm.log" 2>&1 || {
    tail -n 5 "$peer/npm.log"
    echo "npm cannot install jose here"
    exit 1
}
