# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What every build script needs: where things are, and how to say what is
# wrong. Source it; it sets $top (the checkout) and $cache (shared by all
# checkouts of a user). The layout is described in base/README.md.

set -euo pipefail
export LC_ALL=C.UTF-8

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cache=${XDG_CACHE_HOME:-${HOME:?set HOME or XDG_CACHE_HOME}/.cache}/gmem
prog=${0#"$top"/}

# One line that says what to do; the exit status is 1.
die() {
	echo "$prog: $*" >&2
	exit 1
}

say() {
	printf '%s\n' "$*" >&2
}

# need_space DIR MIB WHAT: refuse before filling a disk, not after.
need_space() {
	local avail

	mkdir -p "$1" 2>/dev/null || die "cannot create $1: check its owner and mode"
	avail=$(df --output=avail -BM "$1" | tail -n 1 | tr -dc 0-9)
	[ "$avail" -ge "$2" ] ||
		die "$3 needs $2 MiB in $1, $avail MiB are free: free some, or put the checkout and XDG_CACHE_HOME on another disk"
}

# valid_kernel K: is K a flavour this project builds?
valid_kernel() {
	case $1 in
	release|debug|stock|kcsan|gcov) ;;
	*) die "no kernel '$1': K is one of release debug stock kcsan gcov" ;;
	esac
}

# The tree kernel $1 is built from: stock's own, or the patched one.
kernel_tree() {
	if [ "$1" = stock ]; then
		echo "$top/build/stock"
	else
		echo "$top/build/linux"
	fi
}

# git in an assembled tree, whatever the user's configuration says.
tree_git() {
	GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null \
		git -C "$top/build/linux" -c core.abbrev=12 -c core.quotePath=false \
		-c safe.directory='*' -c advice.detachedHead=false "$@"
}

# take_lock NAME: one build at a time in a checkout; a second one waits.
take_lock() {
	mkdir -p "$top/build"
	exec 9>"$top/build/.lock-$1"
	flock -n 9 && return
	say "waiting for another $1 in this checkout"
	flock 9
}

# Run make in a kernel tree with objects that every checkout can share: all
# paths relative (the object directory lies in the tree, so srctree is ..),
# nothing of user, host or time in them.
kernel_env() {
	export CCACHE_DIR="$cache/ccache" CCACHE_BASEDIR="$top" CCACHE_NOHASHDIR=1
	export CCACHE_MAXSIZE="${CCACHE_MAXSIZE:-10G}" CCACHE_COMPILERCHECK=content
	export LOCALVERSION="" KBUILD_BUILD_USER=gmem KBUILD_BUILD_HOST=gmem
	export KBUILD_BUILD_TIMESTAMP=@0
	unset KBUILD_OUTPUT KBUILD_EXTMOD ARCH CROSS_COMPILE MAKEFLAGS MAKELEVEL MFLAGS
	mkdir -p "$CCACHE_DIR"
}

# Kernel code in files of our own, tests in the kernel among it.
our_files() {
	(cd "$top" && git ls-files -co --exclude-standard -- 'mm/*.c' 'virt/*.c' 'arch/*.c' 'lib/*.c')
}
