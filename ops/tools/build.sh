#!/bin/sh
# Puts nats-server, frps and frpc into .tools/bin: a symbolic link when PATH has one that is recent enough, else
# built from the sources that go.mod and go.sum pin. What is up to date is left alone.
#
#   build.sh            make what is missing or out of date
#   build.sh verify     build again with an empty cache, and fail unless the bytes are the same
#   build.sh pinned     as the first, but never take a program from PATH
set -eu

here=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "$here/../.." && pwd)/.tools/bin
programs='nats-server frps frpc'

fail() {
  printf 'tools: error: %s\n' "$1" >&2
  printf 'tools: hint: %s\n' "$2" >&2
  exit 1
}

# What each program is: its package, its build tags, and the oldest version that serves.
package_of() {
  case $1 in
    nats-server) echo github.com/nats-io/nats-server/v2 ;;
    frps) echo github.com/fatedier/frp/cmd/frps ;;
    frpc) echo github.com/fatedier/frp/cmd/frpc ;;
  esac
}
tags_of() {
  # noweb: the dashboards are not in the module, and would not be wanted.
  case $1 in
    nats-server) echo none ;;
    *) echo "$1,noweb" ;;
  esac
}
floor_of() {
  # nats-server 2.11: the oldest line that still gets fixes. frp 0.70.1: GHSA-26gq-p25f-99cp.
  case $1 in
    nats-server) echo 2.11.0 ;;
    *) echo 0.70.1 ;;
  esac
}

version_of() {
  "$1" --version 2>/dev/null | sed -n 's/^[^0-9]*\([0-9][0-9]*\.[0-9][0-9]*\.[0-9][0-9]*\)$/\1/p' | head -n 1
}

# Prints the first program of that name on PATH, our own folder left out.
on_path() {
  found=''
  old_ifs=$IFS
  IFS=:
  for dir in $PATH; do
    if [ -n "$dir" ] && [ -x "$dir/$1" ] && [ ! -d "$dir/$1" ] && [ "$(cd "$dir" && pwd)" != "$bin" ]; then
      found=$(cd "$dir" && pwd)/$1
      break
    fi
  done
  IFS=$old_ifs
  echo "$found"
}

# A pre-release or an unreadable version never serves.
recent_enough() {
  have=$(version_of "$2")
  [ -n "$have" ] && [ "$(printf '%s\n%s\n' "$(floor_of "$1")" "$have" | sort -V | head -n 1)" = "$(floor_of "$1")" ]
}

need_go() {
  command -v go >/dev/null 2>&1 ||
    fail 'nats-server, frps and frpc are built with Go, and there is no go on PATH' \
      "install Go $(sed -n 's/^go //p' "$here/go.mod") or newer, or put nats-server >= 2.11 and frp >= 0.70.1 on PATH"
}

# CGO_ENABLED=0, -trimpath and an empty build id leave nothing of this machine in the file.
compile() {
  (cd "$here" && CGO_ENABLED=0 go build -mod=readonly -trimpath -buildvcs=false -ldflags '-s -w -buildid=' \
    -tags "$(tags_of "$1")" -o "$2" "$(package_of "$1")") ||
    fail "cannot build $1" 'see the lines above; the sources come through the Go module proxy'
}

inputs() {
  { cat "$here/go.mod" "$here/go.sum" "$here/build.sh"; go env GOVERSION GOOS GOARCH; } | sha256sum | cut -d ' ' -f 1
}
digest() { sha256sum "$1" | cut -d ' ' -f 1; }

# The stamp holds the digest of what the program was made from, and of the program.
up_to_date() {
  [ -f "$bin/$1" ] && [ ! -L "$bin/$1" ] && [ -f "$bin/.$1.stamp" ] &&
    [ "$(cat "$bin/.$1.stamp")" = "$(inputs) $(digest "$bin/$1")" ]
}

make_pinned() {
  need_go
  if up_to_date "$1"; then return; fi
  # Built beside and renamed: a running program keeps its file, and a broken build leaves the old one.
  compile "$1" "$bin/.$1.new"
  rm -f "$bin/.$1.stamp"
  mv -f "$bin/.$1.new" "$bin/$1"
  printf '%s %s\n' "$(inputs)" "$(digest "$bin/$1")" >"$bin/.$1.stamp"
  printf 'tools: built %s %s\n' "$1" "$(version_of "$bin/$1")" >&2
}

make_one() {
  candidate=$(on_path "$1")
  if [ "$mode" != pinned ] && [ -n "$candidate" ] && recent_enough "$1" "$candidate"; then
    if [ "$(readlink "$bin/$1" || true)" != "$candidate" ]; then
      ln -sfn "$candidate" "$bin/$1"
      printf 'tools: %s %s is taken from PATH\n' "$1" "$(version_of "$bin/$1")" >&2
    fi
  else
    make_pinned "$1"
  fi
}

verify() {
  need_go
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  for program in $programs; do
    make_pinned "$program"
    GOCACHE=$scratch/cache compile "$program" "$scratch/$program"
    [ "$(digest "$scratch/$program")" = "$(digest "$bin/$program")" ] ||
      fail "two builds of $program differ" 'the toolchain or the environment changes the bytes: compare go env'
    printf '%s  %s\n' "$(digest "$bin/$program")" "$program"
  done
}

mode=${1:-make}
mkdir -p "$bin"
case $mode in
  make | pinned) for program in $programs; do make_one "$program"; done ;;
  verify) verify ;;
  *) fail "unknown mode" 'use: build.sh [verify|pinned]' ;;
esac
