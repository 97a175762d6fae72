# Where the test cluster keeps its things, and the few functions its scripts share. Sourced, never run.
#
#   CLUSTER_HOME    programs and caches, outside the tree; kept from run to run
#   CLUSTER_MODE    node: a whole single-node cluster, needs root. control-plane: API server and controllers without a kubelet, needs no root
#   CLUSTER_STATE   everything one running cluster writes; `down --wipe` removes it
# shellcheck shell=bash

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export CLUSTER_HOME=${CLUSTER_HOME:-$HOME/.cache/podbook-cluster}
export CLUSTER_MODE=${CLUSTER_MODE:-node}
export CLUSTER_STATE=${CLUSTER_STATE:-$CLUSTER_HOME/state/$CLUSTER_MODE}
export PATH=$CLUSTER_HOME/bin:$PATH
export KUBECONFIG=$CLUSTER_STATE/admin.kubeconfig

case $CLUSTER_MODE in
  node) api_port=16443 etcd_port=22379 ;;
  control-plane) api_port=26443 etcd_port=32379 ;;
  *) echo "CLUSTER_MODE is node or control-plane, not $CLUSTER_MODE" >&2; exit 2 ;;
esac
bridge_ip=10.244.0.1 # the host as pods see it
containerd_socket=/run/podbook-containerd.sock
base_image=docker.io/library/python:3.11-slim-bookworm
export here api_port etcd_port bridge_ip containerd_socket base_image

say() { echo "cluster: $*" >&2; }

die() { # what is missing, then how to go on
  say "$1"
  [ $# -lt 2 ] || say "$2"
  exit 1
}

instead="where that is not available, use CLUSTER=kind (docker and kind) or CLUSTER=existing (the cluster of your KUBECONFIG)"

require_linux_root() {
  [ "$(uname -s)" = Linux ] || die "a native cluster runs on Linux only, this is $(uname -s)" "$instead"
  [ "$(id -u)" = 0 ] || die "a native cluster needs root (it starts containers)" "run it as root; $instead"
}

install_packages() { # Debian packages, those that are missing
  dpkg -s "$@" >/dev/null 2>&1 && return
  command -v apt-get >/dev/null || die "these Debian packages are needed, and there is no apt-get: $*" "$instead"
  [ "$(id -u)" = 0 ] || die "these Debian packages are needed: $*" "install them as root, then try again; $instead"
  say "installing $*"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"; } >&2 ||
    die "apt-get could not install: $*" "$instead"
}

running() { # name: whether the program that `start` recorded under this name still runs (a zombie or a recycled process id does not count)
  local pid program
  read -r pid program 2>/dev/null <"$CLUSTER_STATE/run/$1" && [ "$(readlink "/proc/$pid/exe")" = "$program" ]
}

start() { # name command...: in the background with one log each, its process id on record; a running one is left alone
  local name=$1
  shift
  running "$name" && return
  mkdir -p "$CLUSTER_STATE/run" "$CLUSTER_STATE/log"
  setsid nohup "$@" >>"$CLUSTER_STATE/log/$name.log" 2>&1 </dev/null &
  echo "$! $(readlink -f "$(command -v "$1")")" >"$CLUSTER_STATE/run/$name"
}

stop() { # name [signal]: politely, after 10 seconds for good; returns when it is gone
  local pid
  running "$1" || return 0
  read -r pid _ <"$CLUSTER_STATE/run/$1"
  kill -s "${2:-TERM}" "$pid"
  for _ in $(seq 100); do running "$1" || return 0; sleep 0.1; done
  kill -s KILL "$pid"
  while running "$1"; do sleep 0.1; done
}

until_true() { # seconds what command...: until the command succeeds
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || die "gave up waiting for $what" "the logs are in $CLUSTER_STATE/log"
    sleep 0.25
  done
}
