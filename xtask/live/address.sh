# A console asks for an address and for names: busybox's udhcpc and nslookup ask, dnsmasq answers and says what it did.
names="ena.net.playstation.net eu.actual.battle.net"
start "$net" "$folder/dnsmasq.log" dnsmasq --keep-in-foreground --conf-file=/dev/null --log-facility=- \
    --interface=eth0 --bind-interfaces --no-resolv --no-hosts --pid-file= \
    --dhcp-range=192.168.1.40,192.168.1.40,1h --dhcp-leasefile="$scratch/leases" --dhcp-authoritative --no-ping \
    --address=/ena.net.playstation.net/192.0.2.80 --address=/eu.actual.battle.net/203.0.113.10 --local=/net/ \
    --log-dhcp --log-queries
await "$folder/dnsmasq.log" started
cat >"$scratch/lease.sh" <<'SCRIPT'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add "$ip/24" dev "$interface"
ip route add default via "$router"
SCRIPT
chmod +x "$scratch/lease.sh"
# The vendor class and the list of options are a PlayStation 4's.
in_console busybox udhcpc -i eth0 -n -q -f -o -O subnet -O router -O domain -O dns -V PS4 -s "$scratch/lease.sh" >/dev/null 2>&1
for name in $names missing.battle.net; do
    in_console busybox nslookup -type=a "$name" 192.168.1.1 >/dev/null 2>&1 || true
done
sleep 0.2
