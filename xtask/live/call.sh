# A call through a proxy that pings its clients: kamailio with nathelper, and two baresips, of which the console's calls and
# hangs up. Their summaries say how many packets of RTP were sent and came.
media=$tag-media
ip netns add "$media"
ip netns exec "$media" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
ip -n "$media" link set lo up
plug "$media" port-media 02:00:00:00:00:31
ip -n "$media" addr add 203.0.113.31/32 dev eth0
for host in 203.0.113.30 192.168.1.40; do ip -n "$media" route add "$host" dev eth0; done
ip -n "$net" route add 203.0.113.31 dev eth0
ip -n "$console" addr add 192.168.1.40/24 dev eth0
ip -n "$console" route add 203.0.113.31 dev eth0
ip -n "$console" route add default via 192.168.1.1

cat >"$scratch/kamailio.cfg" <<'CONFIG'
#!KAMAILIO
log_stderror=yes
debug=2
children=1
auto_aliases=no
listen=udp:203.0.113.30:5062
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "nathelper.so"
loadmodule "xlog.so"
modparam("nathelper", "natping_interval", 2)
modparam("nathelper", "ping_nated_only", 0)
request_route {
    xlog("L_NOTICE", "request $rm from $si:$sp\n");
    if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
    if ($rm == "REGISTER") { save("location"); exit; }
    if ($tt != $null) { loose_route(); t_relay(); exit; }
    record_route();
    if (!lookup("location")) { sl_send_reply("404", "Not Found"); exit; }
    t_relay();
}
onreply_route { xlog("L_NOTICE", "reply $rs to $rm from $si:$sp\n"); }
CONFIG
start "$net" "$folder/kamailio.log" kamailio -DD -E -f "$scratch/kamailio.cfg" -P "$scratch/kamailio.pid" -Y "$scratch" -m 16 -M 4

phone() { # folder, user, more of the account
    mkdir -p "$1"
    cat >"$1/config" <<CONFIG
module_path /usr/lib/baresip/modules
module opus.so
module ausine.so
module aubridge.so
module_tmp account.so
module_app menu.so
module_app rtcpsummary.so
audio_source ausine,440
audio_player aubridge,pseudo
audio_alert aubridge,pseudo
rtp_ports 12000-12020
CONFIG
    echo "<sip:$2@203.0.113.30:5062>;auth_pass=none;regint=600;audio_codecs=opus$3" >"$1/accounts"
    : >"$1/contacts"
}
phone "$scratch/team" team ";answermode=auto"
phone "$scratch/player" player ""
await "$folder/kamailio.log" 'listening\|udp:\|Listening'
start "$media" "$folder/callee.log" baresip -f "$scratch/team"
await "$folder/callee.log" '200 OK'
in_console timeout 20 baresip -f "$scratch/player" -e "/dial sip:team@203.0.113.30:5062" -t 6 >"$folder/caller.log" 2>&1 </dev/null || true
sleep 2.5
for space in "$console" "$media"; do ip netns exec "$space" grep '^Udp:' /proc/net/snmp >"$folder/udp-${space#"$tag"-}.log"; done
