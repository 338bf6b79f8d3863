#!/bin/busybox sh
# From power-on to power-off of an emulated router. What it has seen, it says with PROVED; it never waits
# without an end, and powers off at the first thing that is not as it should be.

/bin/busybox --install -s /bin
export PATH=/usr/sbin:/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /tmp
mkdir -p /var/run /www
exec >/dev/console 2>&1

end() {
	sync
	reboot -f
}

fail() {
	echo "FAILED $*"
	mwan3 status
	mwan3 events
	ip rule
	end
	sleep 60
}

show() {
	echo "# $*"
	"$@" || fail "$*"
}

# Patience is for machines that are emulated by a busy one.
eventually() {
	attempts=0
	until "$@"; do
		attempts=$((attempts + 1))
		[ $attempts -lt 90 ] || fail "in vain: $*"
		sleep 1
	done
}

# An ISP is a network namespace that answers for two addresses of the Internet and says its name to who asks.
add_isp() { # DEVICE ADDRESS-OF-ROUTER ADDRESS-OF-ISP METRIC
	unshare -n sleep 100000 &
	process=$!
	eventually other_namespace $process
	eval "isp_$1=$process"
	ip link add "$1" type veth
	ip link set veth0 netns $process
	mkdir -p "/www/$1"
	echo "$1" >"/www/$1/index.html"
	in_isp "$1" ip link set lo up
	in_isp "$1" ip addr add "$3/24" dev veth0
	in_isp "$1" ip link set veth0 up
	# Stands in for NAT: whatever address the router sends from, the answer comes back.
	in_isp "$1" ip route add default via "$2"
	answer "$1"
	in_isp "$1" httpd -p 80 -h "/www/$1"
	ip addr add "$2/24" dev "$1"
	ip link set "$1" up
	ip route add default via "$3" dev "$1" metric "$4"
}

other_namespace() { # PROCESS
	[ "$(readlink /proc/self/ns/net)" != "$(readlink "/proc/$1/ns/net")" ]
}

in_isp() { # DEVICE COMMAND...
	eval "process=\$isp_$1"
	shift
	nsenter -t "$process" -n "$@"
}

answer() { # DEVICE
	in_isp "$1" ip addr add 192.0.2.1/32 dev lo
	in_isp "$1" ip addr add 192.0.2.2/32 dev lo
}

# Packets are lost without a word, while the line itself stays up.
fall_silent() { # DEVICE
	in_isp "$1" ip route add blackhole 192.0.2.0/24
	in_isp "$1" ip addr del 192.0.2.1/32 dev lo
	in_isp "$1" ip addr del 192.0.2.2/32 dev lo
}

speak_again() { # DEVICE
	answer "$1"
	in_isp "$1" ip route del blackhole 192.0.2.0/24
}

is() { # STATE INTERFACE
	mwan3 interfaces | grep -q "interface $2 is $1"
}

# Asks the Internet by which uplink the question came.
new_connections_use() { # DEVICE
	printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 3 192.0.2.1 80 | grep -qx "$1"
}

nothing_is_left() {
	[ "$(ip rule | wc -l)" = "$rules_before" ] && [ -z "$(ip route list table 1)" ]
}

while read -r module; do
	insmod "$module" || fail "insmod $module"
done </modules/list
echo 2 >/proc/sys/net/ipv4/conf/all/rp_filter
ip link set lo up
rules_before=$(ip rule | wc -l)

show uname -a
show mwan3 version
add_isp wan 198.51.100.2 198.51.100.1 10
add_isp wanb 203.0.113.2 203.0.113.1 20
show mwan3 check

show mwan3 start
eventually is online wan
eventually is online wanb
show mwan3 status
show ip rule
show ip route list table 1
eventually new_connections_use wan
echo "PROVED both uplinks are online, new connections use the first"

fall_silent wan
eventually is offline wan
show mwan3 interfaces
eventually new_connections_use wanb
echo "PROVED a silent uplink is left, new connections use the second"

speak_again wan
eventually is online wan
eventually new_connections_use wan
echo "PROVED the first uplink is used again when it answers again"
show mwan3 events

# 2040-01-01: more seconds than a signed number of 32 bits holds. The tracker runs on.
show set-clock 2208988800
show mwan3 check
fall_silent wan
eventually is offline wan
eventually new_connections_use wanb
show mwan3 interfaces
show mwan3 events
[ "$(sed -n 's/^btime //p' /proc/stat)" -gt 2147483647 ] || fail "the clock did not change"
echo "PROVED a silent uplink is left in the year 2040, too"

show mwan3 stop
eventually nothing_is_left
show ip rule
echo "PROVED stop leaves nothing"
echo "PROVED all"
end
