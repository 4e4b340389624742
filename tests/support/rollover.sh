# SPDX-License-Identifier: MIT
# For shell tests, after signer.sh: key life with periods of seconds, and what it is asked about.

# rollover_config LINE…: as signer_config, with the shortest periods that keep the promise.
rollover_config() {
    signer_config "$@" 'jwks_max_age_s: 1' 'lifetime_max_s: 4' 'lifetime_default_s: 3' \
        "keyset_dir: $dir/keys" 'signed_keyset_lifetime_s: 10' 'rollover:' \
        "  active_period_s: ${active_period_s:-1000}" '  jitter_s: 0' \
        "  publish_lead_s: ${publish_lead_s:-2}" \
        "  retire_lag_s: ${retire_lag_s:-5}" "  destroy_grace_s: ${destroy_grace_s:-2}" \
        '  overdue_grace_s: 60' '  verifier_cache_max_s: 0' '  propagation_s: 1' '  skew_s: 0' \
        "  root_lead_s: ${root_lead_s:-8}" "  clock_jump_max_s: ${clock_jump_max_s:-60}"
}

key_ctl() { ATTEST_SOCKET=$admin_socket "$top_builddir/attestctl" key "$@"; }

# key_kid PURPOSE STATE: the kids of the keys in this state, the oldest first.
key_kid() {
    key_ctl list --json | python3 -c "
import json, sys
for k in json.load(sys.stdin)['keys']:
    if (k['purpose'], k['state']) == ('$1', '$2') and 'destroyed' not in k:
        print(k['kid'])"
}

key_count() { [ "$(key_kid "$1" "$2" | grep -c .)" = "$3" ]; }
key_state() { key_kid token "$2" | grep -qx -e "$1"; }

# signed_set EXPRESSION: of the signed key set as p, in Python.
signed_set() {
    python3 -c "
import base64, json, sys
text = open('$dir/keys/jwks.jwt').read().split('.')[1]
p = json.loads(base64.urlsafe_b64decode(text + '=='))
print($1)"
}
