#!/bin/sh
# A big-endian MIPS kernel and a busybox, from Debian's sources: build.sh FOLDER CC, from the folder of this file.
# Minutes, once: what is there is kept.
set -eu
folder=$1 cc=$2 own=$(cd "$(dirname "$0")" && pwd)
jobs=$(nproc)
mkdir -p "$folder"
cd "$folder"

kernel() {
	archive=$(ls /usr/src/linux-source-6*.tar.xz | sort -V | tail -n 1)
	rm -rf kernel-source
	mkdir kernel-source
	tar -xf "$archive" -C kernel-source --strip-components=1
	in_kernel() { make -C kernel-source ARCH=mips CROSS_COMPILE=mips-linux-gnu- O="$folder/kernel" "$@"; }
	KCONFIG_ALLCONFIG="$own/kernel.config" in_kernel allnoconfig >/dev/null
	in_kernel -s -j"$jobs" vmlinux
	cp kernel/vmlinux vmlinux
	rm -rf kernel-source kernel
}

# Debian has the source, but not for everybody in the list of sources.
busybox() {
	mkdir -p apt/lists/partial apt/cache/archives/partial
	: >apt/status
	uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' 'Label: Debian' | head -n 1)
	echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri bookworm main" >apt/sources.list
	set -- -qq -o Dir::State="$folder/apt" -o Dir::State::status="$folder/apt/status" -o Dir::Cache="$folder/apt/cache" \
		-o Dir::Etc::sourcelist="$folder/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User=root
	apt-get "$@" update
	rm -rf busybox-source busybox_*
	apt-get "$@" source --download-only busybox
	mkdir busybox-source
	tar -xf busybox_*.orig.tar.* -C busybox-source --strip-components=1
	cd busybox-source
	make -s allnoconfig >/dev/null
	while read -r option; do
		sed -i "s/^# CONFIG_$option is not set/CONFIG_$option=y/" .config
	done <"$own/busybox.config"
	yes '' 2>/dev/null | make -s oldconfig >/dev/null
	# Its last step tries flags that our linker does not know; the program is there by then.
	make -s -j"$jobs" CC="$cc" SKIP_STRIP=y busybox_unstripped || [ -s busybox_unstripped ]
	cd ..
	cp busybox-source/busybox_unstripped busybox
	rm -rf busybox-source busybox_*
}

[ -s vmlinux ] || kernel
[ -s busybox ] || busybox
