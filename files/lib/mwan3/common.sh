# For scripts that source the library of the shell package: the functions of it that others use, as far as they
# ask for something. For what changes something there are commands: `mwan3 ifup NAME`, `mwan3 reload` and so on.
#
# Needs any POSIX shell with `local` (busybox ash, dash), uci, and for addresses OpenWrt's network.sh. A function
# that fills a variable takes the variable's name first. All return 1 if there is nothing to tell.

MWAN3_STATUS_DIR=/var/run/mwan3
MWAN3TRACK_STATUS_DIR=/var/run/mwan3track
MWAN3_STATUS_IFACE_DIR=$MWAN3_STATUS_DIR/iface_state

# Fills MMX_MASK, MMX_DEFAULT, MMX_BLACKHOLE, MMX_UNREACHABLE and MWAN3_INTERFACE_MAX.
mwan3_init() {
	local highest=1

	MMX_MASK=$(cat "$MWAN3_STATUS_DIR/mmx_mask" 2>/dev/null || uci -q get mwan3.globals.mmx_mask || echo 0x3f00)
	while [ "$(mwan3_id2mask $((highest * 2 + 1)))" != "$(mwan3_id2mask "$highest")" ]; do
		highest=$((highest * 2 + 1))
	done
	MWAN3_INTERFACE_MAX=$((highest - 3))
	MMX_DEFAULT=$(mwan3_id2mask "$highest")
	MMX_UNREACHABLE=$(mwan3_id2mask $((highest - 1)))
	MMX_BLACKHOLE=$(mwan3_id2mask $((highest - 2)))
}

# mwan3_id2mask ID [MASK]: prints the mark of an id, its bits spread over those of the mask. Both are numbers or
# names of variables.
mwan3_id2mask() {
	local rest=$(($1)) mask=$((${2:-MMX_MASK})) bit=1 mark=0

	while [ "$rest" -gt 0 ] && [ "$bit" -le 2147483648 ]; do
		if [ $((mask & bit)) -ne 0 ]; then
			mark=$((mark | (rest & 1) * bit))
			rest=$((rest / 2))
		fi
		bit=$((bit * 2))
	done
	printf '0x%x\n' "$mark"
}

# mwan3_get_iface_id VARIABLE INTERFACE: the position of its section; also the number of its routing table.
mwan3_get_iface_id() {
	local found

	found=$(_mwan3_sections interface | grep -nxF -e "$2")
	eval "$1=\${found%%:*}"
	[ -n "$found" ]
}

# mwan3_get_true_iface VARIABLE INTERFACE: the one of netifd's that has the addresses, such as wan_6.
mwan3_get_true_iface() {
	local suffix=_4

	[ "$(uci -q get "mwan3.$2.family")" != ipv6 ] || suffix=_6
	if ubus -S call "network.interface.$2$suffix" status >/dev/null 2>&1; then
		eval "$1=\$2\$suffix"
	else
		eval "$1=\$2"
	fi
}

# mwan3_get_src_ip VARIABLE INTERFACE: its first address in the family of its section.
mwan3_get_src_ip() {
	local real

	. /lib/functions/network.sh
	mwan3_get_true_iface real "$2"
	if [ "$(uci -q get "mwan3.$2.family")" = ipv6 ]; then
		network_get_ipaddr6 "$1" "$real"
	else
		network_get_ipaddr "$1" "$real"
	fi
}

# mwan3_get_iface_hotplug_state INTERFACE: prints online or offline, as policies see it.
mwan3_get_iface_hotplug_state() {
	cat "$MWAN3_STATUS_IFACE_DIR/$1" 2>/dev/null || { echo offline; return 1; }
}

# mwan3_get_track_status INTERFACE: prints online, offline, connecting, disconnecting, disabled or unknown.
mwan3_get_track_status() {
	cat "$MWAN3TRACK_STATUS_DIR/$1/STATUS" 2>/dev/null || { echo unknown; return 1; }
}

# mwan3_get_mwan3track_status VARIABLE INTERFACE: active, paused, disabled (no track_ip) or down.
mwan3_get_mwan3track_status() {
	local pid

	pid=$(cat "$MWAN3TRACK_STATUS_DIR/$2/PID" 2>/dev/null)
	if ! uci -q get "mwan3.$2.track_ip" >/dev/null; then
		eval "$1=disabled"
	elif [ -z "$pid" ] || [ ! -d "/proc/$pid" ]; then
		eval "$1=down"
	elif [ "$(cat "$MWAN3TRACK_STATUS_DIR/$2/STARTED" 2>/dev/null)" = 1 ]; then
		eval "$1=active"
	else
		eval "$1=paused"
	fi
}

# get_uptime: prints seconds since boot, what ONLINE, OFFLINE and TIME in the status files count in.
get_uptime() {
	cut -d . -f 1 /proc/uptime
}

# The names of all sections of a type, in the order of the file.
_mwan3_sections() {
	uci -q show mwan3 | sed -n "s/^mwan3\\.\\([^.=]*\\)=$1\$/\\1/p"
}
