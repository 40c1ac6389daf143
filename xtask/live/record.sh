#!/bin/sh
# Records one case with real software in network namespaces of its own: record.sh CASE FOLDER PADTAP
#
# A hub (a bridge that learns nothing) joins the console's namespace, the network's namespace, and the mirror port on which
# padtap captures. What the peers themselves say stays in FOLDER beside the capture: `cargo xtask fixtures --live` makes the
# truth of it. Needs root, and the programs that it is about to run.
set -eu
case_name=$1 folder=$2 padtap=$3
here=$(dirname "$(realpath "$0")")
tag=padtap-$$
hub=$tag-hub console=$tag-console net=$tag-net
scratch=$(mktemp -d)
children=

clean() {
    # shellcheck disable=SC2086
    [ -z "$children" ] || kill $children 2>/dev/null || true
    for space in "$hub" "$console" "$net" "$tag-media"; do ip netns del "$space" 2>/dev/null || true; done
    rm -rf "$scratch"
}
trap clean EXIT

in_console() { ip netns exec "$console" "$@"; }
in_net() { ip netns exec "$net" "$@"; }

# Starts a program that goes on, and remembers it: space, log, command.
start() {
    space=$1 log=$2
    shift 2
    ip netns exec "$space" "$@" >"$log" 2>&1 </dev/null &
    children="$children $!"
}

# Waits until a file says something.
await() {
    for _ in $(seq 300); do
        grep -q "$2" "$1" 2>/dev/null && return
        sleep 0.1
    done
    echo "in vain: $2 in $1" >&2
    cat "$1" >&2
    exit 1
}

# One end in a namespace, the other in the hub. Checksums and sizes are made on the wire, not in a card that is not there.
plug() {
    ip -n "$hub" link add "$2" type veth peer name eth0 netns "$1"
    ip -n "$hub" link set "$2" master hub0 up
    ip -n "$1" link set eth0 address "$3" up
    ip netns exec "$1" ethtool -K eth0 tx off sg off tso off gso off gro off >/dev/null
}

for space in "$hub" "$console" "$net"; do
    ip netns add "$space"
    ip netns exec "$space" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
    ip -n "$space" link set lo up
done
ip -n "$hub" link add hub0 type bridge ageing_time 0 mcast_snooping 0
ip -n "$hub" link set hub0 up
plug "$console" port-console bc:60:a7:00:00:40
plug "$net" port-net 02:00:00:00:00:01
ip -n "$hub" link add port-mirror type veth peer name mirror
ip -n "$hub" link set port-mirror master hub0 up
ip -n "$hub" link set mirror up
ip -n "$net" addr add 192.168.1.1/24 dev eth0
for address in 203.0.113.10 203.0.113.30; do ip -n "$net" addr add "$address/32" dev lo; done

mkdir -p "$folder"
start "$hub" "$scratch/padtap.log" "$padtap" capture -i mirror -w "$folder/capture.pcapng"
capture=$!
await "$scratch/padtap.log" queue

# shellcheck source=/dev/null
. "$here/$case_name.sh"

kill -TERM "$capture"
wait "$capture"
grep -q ' 0 lost' "$scratch/padtap.log" || { cat "$scratch/padtap.log" >&2; exit 1; }
gzip -9nf "$folder/capture.pcapng"
