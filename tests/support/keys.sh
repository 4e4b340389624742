# SPDX-License-Identifier: MIT
# For shell tests: what attestctl says of keys, as lines. SOCKET is the signer's for operators.

key_objects() {
    "$top_builddir/attestctl" key list --socket "$1" --json | tr -d ' \n' | tr '{' '\n'
}

# key_table SOCKET: a line for each key: kid, purpose, state, and the epoch seconds at which it was
# created, published, active, retired, removed, revoked, destroyed (0: not).
key_table() {
    key_objects "$1" | awk '
        function text(name) {
            return match($0, "\"" name "\":\"[^\"]*") ? substr($0, RSTART + length(name) + 4, RLENGTH - length(name) - 4) : "-"
        }
        function number(name) {
            return match($0, "\"" name "\":[0-9]+") ? substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 3) : 0
        }
        /"kid":/ {
            print text("kid"), text("purpose"), text("state"), number("created"), number("published"),
                number("active"), number("retired"), number("removed"), number("revoked"),
                number("destroyed")
        }'
}

# log_key_of SOCKET: the log key's public part, for signer_log_verify.
log_key_of() {
    key_objects "$1" | sed -n 's/.*"purpose":"log".*"x":"\([^"]*\)".*/\1/p' | head -n 1
}
