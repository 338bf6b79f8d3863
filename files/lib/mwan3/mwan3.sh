# Scripts that source this file expect the functions of the other one.
. "${IPKG_INSTROOT:-}/lib/mwan3/common.sh"
