#!/bin/sh
# Sealing to a TPM that its maker has certified: the chain, the key, and who only has the certificate.
set -u
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/softhsm.sh"
. "$top_srcdir/tests/support/swtpm.sh"
trap 'swtpm_kill; rm -rf "$dir"' EXIT

command -v openssl >/dev/null || { echo "no openssl: apt-get install openssl"; exit 77; }
swtpm_start
pin_file pin 1234abcd
mkdir -p "$dir/state"
keys=$dir/state/sealed.keys

# config [MORE…]
config() {
    {
        printf '%s: %s\n' issuer https://issuer.example keystore "\"tpm2:$TCTI\"" state_dir "$dir/state" \
            pcrs sha256:0,7
        [ $# = 0 ] || printf '%s\n' "$@"
        printf 'pin:\n  file: %s\n' "$dir/pin"
    } >"$dir/signer.yaml"
}
ctl() {
    command=$1
    shift
    run timeout -k 10 600 "$top_builddir/attestctl" hsm "$command" --config "$dir/signer.yaml" "$@"
}
# ca NAME: a root, and a CA below it that signs.
ca() {
    openssl req -x509 -newkey rsa:2048 -nodes -subj "/CN=$1 root" -keyout "$dir/$1-root.key" \
        -out "$dir/$1-root.pem" -days 30 2>/dev/null
    openssl req -newkey rsa:2048 -nodes -subj "/CN=$1 below" -keyout "$dir/$1.key" -out "$dir/$1.csr" 2>/dev/null
    echo basicConstraints=critical,CA:true >"$dir/ext"
    openssl x509 -req -in "$dir/$1.csr" -CA "$dir/$1-root.pem" -CAkey "$dir/$1-root.key" -CAcreateserial \
        -extfile "$dir/ext" -out "$dir/$1.pem" -days 30 2>/dev/null
    cat "$dir/$1-root.pem" "$dir/$1.pem" >"$dir/$1-all.pem"
}
# certify CA KEY INDEX [EXTENSION…]: the CA's certificate for this public key, into the TPM.
certify() {
    by=$1 key=$2 index=$3
    shift 3
    set -- '[ek]' "$@"
    printf '%s\n' "$@" >"$dir/ext"
    openssl x509 -req -in "$dir/ek.csr" -force_pubkey "$key" -CA "$dir/$by.pem" -CAkey "$dir/$by.key" -CAcreateserial \
        -extfile "$dir/ext" -extensions ek -outform DER -out "$dir/ek.der" -days 30 2>/dev/null || complain "no certificate"
    tpm2_nvundefine -T "$TCTI_PLAIN" -C o $index >/dev/null 2>&1
    # Some room behind it, as makers leave.
    head -c 40 /dev/zero | tr '\0' '\377' >>"$dir/ek.der"
    tpm2_nvdefine -T "$TCTI_PLAIN" -C o -s $(wc -c <"$dir/ek.der") -a 'ownerwrite|ownerread|authread|no_da' $index >/dev/null &&
        tpm2_nvwrite -T "$TCTI_PLAIN" -C o -i "$dir/ek.der" $index || complain "the TPM keeps no certificate"
}

# What a certificate is asked for with; its key is not the one that is certified.
openssl req -newkey rsa:2048 -nodes -subj /CN=tpm -keyout "$dir/ek.key" -out "$dir/ek.csr" 2>/dev/null
ca maker
ca stranger
for kind in rsa ecc; do
    tpm2_createek -T "$TCTI_PLAIN" -G $kind -c "$dir/$kind.ctx" -u "$dir/$kind.pub" -f pem >/dev/null 2>&1 ||
        complain "no endorsement key ($kind)"
    tpm2_flushcontext -T "$TCTI_PLAIN" -t
done
openssl pkey -in "$dir/stranger.key" -pubout -out "$dir/other.pub"

config "ek_ca: $dir/maker-all.pem"
ctl seal
expect 1
out_has "the TPM has no EK certificate"

certify maker "$dir/other.pub" 0x01c00002
ctl seal
expect 1
out_has "EK certificate is for another key than the TPM's"
config
ctl seal
expect 1
out_has "EK certificate is for another key than the TPM's"
[ ! -e "$keys" ] || complain "keys were sealed all the same"

certify stranger "$dir/rsa.pub" 0x01c00002
config "ek_ca: $dir/maker-all.pem"
ctl seal
expect 1
out_has "EK certificate is not of ek_ca"
config "ek_ca: $dir/maker.pem"
ctl seal
expect 3
err_has "no self-signed certificate"

# What the maker certified for something else.
config "ek_ca: $dir/maker-all.pem"
# not_for WORDS KIND INDEX EXTENSION…
not_for() {
    words=$1 kind=$2 index=$3
    shift 3
    certify maker "$dir/$kind.pub" $index "$@"
    what="$*"
    ctl seal
    expect 1
    out_has "EK certificate is not for an endorsement key: $words"
    [ ! -e "$keys" ] || complain "keys were sealed all the same: $*"
}
not_for "it is a CA's" rsa 0x01c00002 basicConstraints=critical,CA:true
not_for "its key usage has no keyEncipherment" rsa 0x01c00002 keyUsage=critical,digitalSignature,keyAgreement
not_for "its extended key usage has no" rsa 0x01c00002 keyUsage=keyEncipherment extendedKeyUsage=serverAuth,2.23.133.8.3
certify maker "$dir/rsa.pub" 0x01c00002 extendedKeyUsage=DER:0500
ctl seal
expect 1
out_has "EK certificate is not"
# As the profile has it; and as older ones are, which say nothing.
certify maker "$dir/rsa.pub" 0x01c00002 basicConstraints=critical,CA:false keyUsage=critical,keyEncipherment \
    extendedKeyUsage=2.23.133.8.1
ctl seal
expect 0
rm "$keys"
certify maker "$dir/rsa.pub" 0x01c00002
ctl seal
expect 0
ctl seal-status
expect 0
size=$(($(wc -c <"$dir/ek.der") - 40))
out_has "certificate $(head -c $size "$dir/ek.der" | sha256sum | cut -d' ' -f1)"
ctl reseal
expect 0
swtpm_secrets_of "$keys" "$dir/pin"
ctl seal-status --json
out_has '"ek_certificate":"'

# A PIN is sealed to no other TPM either, and without one nobody asks for its certificate.
config "ek_ca: $dir/stranger-all.pem"
sed -i 's/^keystore:.*/keystore: pkcs11:token=attestd/' "$dir/signer.yaml"
run "$top_builddir/attest-signer" --check-config --config "$dir/signer.yaml"
expect 1
err_has "pcrs: there is no keystore tpm2: and no pin.tpm2"
sed -i '/^  file:/d' "$dir/signer.yaml"
printf '  tpm2: %s\n  tcti: "%s"\n' "$dir/state/pin.sealed" "$TCTI" >>"$dir/signer.yaml"
ctl seal-pin --pin-file "$dir/pin"
expect 1
out_has "EK certificate is not of ek_ca"
[ ! -e "$dir/state/pin.sealed" ] || complain "the PIN was sealed all the same"
sed -i "s,^ek_ca: .*,ek_ca: $dir/maker-all.pem," "$dir/signer.yaml"
ctl seal-pin --pin-file "$dir/pin"
expect 0
ctl seal-status
expect 0
out_has "certificate $(head -c $size "$dir/ek.der" | sha256sum | cut -d' ' -f1)"

# The other kind, which comes first where both are.
rm "$keys"
config "ek_ca: $dir/maker-all.pem"
not_for "its key usage has no keyAgreement" ecc 0x01c0000a keyUsage=keyEncipherment
certify maker "$dir/ecc.pub" 0x01c0000a keyUsage=critical,keyAgreement extendedKeyUsage=2.23.133.8.1
pin_file owner landlord
swtpm_secret owner "$dir/owner"
tpm2_changeauth -T "$TCTI_PLAIN" -c owner landlord || complain "the owner hierarchy takes no password"
config "ek_ca: $dir/maker-all.pem" "owner_auth: {file: $dir/owner}"
ctl seal
expect 0
ctl seal-status
expect 0
size=$(($(wc -c <"$dir/ek.der") - 40))
out_has "certificate $(head -c $size "$dir/ek.der" | sha256sum | cut -d' ' -f1)"
left=$(tpm2_getcap -T "$TCTI_PLAIN" handles-transient; tpm2_getcap -T "$TCTI_PLAIN" handles-loaded-session)
[ -z "$left" ] || complain "left in the TPM: $left"
exit $failed
