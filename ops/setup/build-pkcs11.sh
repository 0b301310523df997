#!/bin/sh
# Builds the PKCS#11 addon of the lockfile, which `npm ci` leaves unbuilt because no package may run scripts here.
# Installs nothing and fetches nothing: the headers come with the Node of the lockfile, or with one on this machine.
set -eu
cd "$(dirname "$0")/../.."

fail() {
  printf 'build-pkcs11: error: %s\nbuild-pkcs11: hint: %s\n' "$1" "$2" >&2
  exit 1
}

loads() {
  node -e "require('pkcs11js')" 2>/dev/null
}

# The folders that may hold include/node, best first. The addon is Node-API: any Node since 18 has what it needs.
prefixes() {
  for package in node_modules/node-linux-*; do
    printf '%s\n' "$PWD/$package"
  done
  printf '%s\n' "$PATH" | tr ':' '\n' | while IFS= read -r folder; do
    [ -x "$folder/node" ] || continue
    dirname "$(dirname "$(readlink -f "$folder/node")")"
  done
  printf '%s\n' /usr /usr/local
}

[ -d node_modules/pkcs11js ] || fail 'pkcs11js is not installed' 'run `npm ci` first'
PATH="$PWD/node_modules/.bin:$PATH"
export PATH
if loads; then
  exit 0
fi
for tool in python3 make g++; do
  command -v "$tool" >/dev/null || fail "$tool is missing" 'apt-get install python3 make g++'
done
prefix=$(prefixes | while IFS= read -r candidate; do
  if [ -f "$candidate/include/node/node_api.h" ]; then
    printf '%s\n' "$candidate"
    break
  fi
done)
[ -n "$prefix" ] || fail 'no include/node/node_api.h beside any node' 'apt-get install libnode-dev'

output=$(mktemp)
trap 'rm -f "$output"' EXIT
if ! npm rebuild pkcs11js --ignore-scripts=false --nodedir="$prefix" >"$output" 2>&1; then
  cat "$output" >&2
  fail 'the compiler refused' 'the lines above name what is missing'
fi
loads || fail 'the addon was built and does not load' 'remove node_modules/pkcs11js/build and run this again'
