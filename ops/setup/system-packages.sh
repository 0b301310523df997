#!/bin/sh
# Installs the system programs that ztmesh runs and that npm and Go cannot bring. Changes nothing that is there.
set -eu

missing=''
need() { # need PACKAGE, then a test that says whether it is there
  package=$1
  shift
  "$@" >/dev/null 2>&1 || missing="$missing $package"
}
has() { command -v "$1"; }
has_softhsm() { ls /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so 2>/dev/null | grep -q .; }
has_cxx() { printf '#include <stdio.h>\n' | c++ -x c++ -E -; }

need bubblewrap has bwrap
need softhsm2 has_softhsm
need softhsm2 has softhsm2-util
need opensc has pkcs11-tool
need openssl has openssl
need sqlite3 has sqlite3
need openssh-client has ssh
need openssh-server test -x /usr/sbin/sshd
need python3 has python3
need build-essential has_cxx
need swtpm has swtpm
need swtpm-tools has swtpm_setup
need swtpm-tools has swtpm_localca
need tpm2-tools has tpm2_createek

if [ -z "$missing" ]; then
  exit 0
fi
missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
  echo "setup: missing: $missing" >&2
  echo "setup: hint: install them with this system's package manager, or run as root where apt-get is" >&2
  exit 1
fi
echo "setup: installing $missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of words
apt-get install -y -qq --no-install-recommends $missing >/dev/null
