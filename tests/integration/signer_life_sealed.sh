#!/bin/sh
# Every key command on keys that a TPM has sealed, with what is asked of those on a token.
LIFE=sealed exec sh "$top_srcdir/tests/integration/signer_life.sh"
