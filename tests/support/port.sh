# SPDX-License-Identifier: MIT
# A random loopback port, for a server that cannot be told to take any.
#
# Below the range that the kernel hands out to those who connect, so that a server which starts again
# finds its port free; even, so that one which takes the next one too (swtpm) meets no other.
random_port() { echo $(($(od -An -N2 -tu2 /dev/urandom) % 6000 * 2 + 20000)); }
