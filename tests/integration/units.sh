#!/bin/sh
# systemd reads the units without a complaint and judges the sandboxes as tight; the users that they
# name are the ones that sysusers makes.
set -u
command -v systemd-analyze >/dev/null || {
    echo "no systemd-analyze: apt-get install systemd"
    exit 77
}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0
complain() {
    echo "units: $*"
    failed=1
}

for unit in attestd.service attest-signer.service; do
    # The programs need not be installed for this.
    sed 's|^ExecStart=[^ ]*|ExecStart=/bin/true|' "$top_builddir/packaging/$unit" >"$dir/$unit"
    grep -q '@' "$dir/$unit" && grep -nE '@(sbindir|pkgsysconfdir)@' "$dir/$unit" && complain "$unit: a path is not filled in"
done
cp "$top_srcdir/packaging/attestd.socket" "$dir/"

# With both examples of drop-ins, which thereby are read too.
mkdir "$dir/attest-signer.service.d"
for conf in tpm no-pin; do
    cp "$top_srcdir/packaging/attest-signer-$conf.conf" "$dir/attest-signer.service.d/$conf.conf"
done

# Only complaints about our files count: those about the machine's own units are not ours.
said=$(SYSTEMD_UNIT_PATH="$dir:" systemd-analyze verify --man=no "$dir"/*.service "$dir"/*.socket 2>&1 |
    grep -E 'attest' | grep -vE 'User=|Group=')
[ -z "$said" ] || complain "systemd-analyze verify: $said"

# What came of it: systemd shows no credentials here, but the device.
said=$(SYSTEMD_LOG_LEVEL=debug SYSTEMD_UNIT_PATH="$dir:" systemd-analyze verify --man=no \
    "$dir/attest-signer.service" 2>&1)
for line in 'PrivateDevices: no' 'DeviceAllow: /dev/tpmrm0 rw'; do
    echo "$said" | grep -qF "$line" || complain "with the drop-ins: no '$line'"
done

# An exposure of 1.5 of 10, in tenths.
for unit in attestd.service attest-signer.service; do
    said=$(systemd-analyze security --offline=true --no-pager --threshold=15 "$dir/$unit" 2>&1) ||
        complain "$unit: $said"
    echo "$said" | tail -n 1
done

users=$(sed -n 's/^[ug] *\([a-z-]*\).*/\1/p' "$top_srcdir/packaging/attestd.sysusers")
for name in $(sed -nE 's/^(User|Group|SupplementaryGroups|SocketGroup)=//p' "$dir"/*.service "$dir"/*.socket); do
    echo "$users" | grep -qx "$name" || complain "$name is not in attestd.sysusers"
done
exit $failed
