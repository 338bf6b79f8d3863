# For scripts that source the shell package's library: its functions that others use, as far as they read.
# Works in busybox ash and dash; changes no settings of the shell; needs no functions.sh. What changes things
# is a command now: `mwan3 ifup NAME`, `mwan3 ifdown NAME`, `mwan3 reload`.
#
# A function that fills a variable takes the variable's name first, as there.

MWAN3_STATUS_DIR="${MWAN3_RUN_DIR:-/var/run}/mwan3"
MWAN3TRACK_STATUS_DIR="${MWAN3_RUN_DIR:-/var/run}/mwan3track"

# mwan3_init: MMX_MASK, MMX_DEFAULT, MMX_BLACKHOLE, MMX_UNREACHABLE and MWAN3_INTERFACE_MAX
mwan3_init()
{
	local bits bit

	MMX_MASK=$(cat "$MWAN3_STATUS_DIR/mmx_mask" 2>/dev/null) || MMX_MASK=$(uci -q get mwan3.globals.mmx_mask)
	MMX_MASK=${MMX_MASK:-0x3f00}
	bits=0 bit=0
	while [ "$bit" -lt 32 ]; do
		[ $((MMX_MASK >> bit & 1)) -eq 0 ] || bits=$((bits + 1))
		bit=$((bit + 1))
	done
	bits=$((1 << bits))
	MWAN3_INTERFACE_MAX=$((bits - 4))
	MMX_DEFAULT=$(mwan3_id2mask $((bits - 1)))
	MMX_UNREACHABLE=$(mwan3_id2mask $((bits - 2)))
	MMX_BLACKHOLE=$(mwan3_id2mask $((bits - 3)))
}
