# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154
#
# What runner-test's tests are written in: run a machine, compare, report in
# KTAP. A test is a function test_NAME; it fails if it calls fail.

tmp=$(mktemp -d /tmp/runner-test.XXXXXX) || exit 1
trap 'rm -rf "$tmp"' EXIT
out=$tmp/stdout
err=$tmp/stderr

# vm [OPTIONS] -- CMD...: stdin is the file in $in, or nothing.
vm() {
	"$run" --kernel "$kernel" "$@" <"${in:-/dev/null}" >"$out" 2>"$err"
	status=$?
}

bzimage() {
	case $kernel in
	*/*) echo "$kernel" ;;
	*) echo "$top/build/obj-$kernel/arch/x86/boot/bzImage" ;;
	esac
}

fail() {
	echo "# $*"
	bad=1
	# For tests that change directory in a subshell.
	[ "$BASH_SUBSHELL" = 0 ] || exit 1
}

show() {
	tail -n 20 "$1" | cut -c 1-200 | sed "s/^/#   ${1##*/}: /" | tr -cd '\n\t -~'
}

want_status() {
	[ "$status" = "$1" ] && return
	show "$err"
	fail "exit status $status, not $1"
}

want_empty() {
	[ -s "$1" ] || return 0
	show "$1"
	fail "${1##*/} is not empty"
}

# want_text FILE LINE...: the file is these lines.
want_text() {
	local file=$1 got

	shift
	got=$(cat "$file"; echo .)
	[ "$got" = "$(printf '%s\n' "$@"; echo .)" ] && return
	printf '%s\n' "${got%.}" | sed 's/^/#   got: /'
	fail "unexpected output"
}

want_same() {
	cmp -s "$1" "$2" || fail "$1 and $2 differ"
}

want_line() {
	grep -aqE -- "$2" "$1" && return
	show "$1"
	fail "no line matches: $2"
}

want_no_line() {
	grep -aqE -- "$2" "$1" || return 0
	show "$1"
	fail "a line matches: $2"
}

# want_reason REASON: 125, and the reason is the whole last line.
want_reason() {
	want_status 125
	[ "$(tail -n 1 "$err")" = "tools/vm/run: $1" ] && return
	show "$err"
	fail "the last line is not the reason: $1"
}

tests() {
	grep -oE '^test_[a-z0-9_]+' "$0" | sed 's/^test_//'
}

report() {
	local number=$1 name=$2 start=$SECONDS

	bad=0
	rm -rf "${tmp:?}"/*
	"test_$name"
	echo "# $((SECONDS - start)) s"
	if [ "$bad" = 0 ]; then
		echo "ok $number $name"
	else
		echo "not ok $number $name"
		failed=$((failed + 1))
	fi
}

usage() {
	echo "$0: $1; usage: $0 [--kernel K] [--list | --quick | NAME...]" >&2
	exit 2
}

choose() {
	local name

	chosen=("$@")
	case ${1-} in
	'') mapfile -t chosen < <(tests) ;;
	--quick) mapfile -t chosen < <(tests | grep -vxF "$slow") ;;
	esac
	for name in "${chosen[@]}"; do
		declare -F "test_$name" >/dev/null || usage "no test '$name'"
	done
}

main() {
	local chosen number=0 failed=0

	if [ "${1-}" = --kernel ]; then
		[ $# -ge 2 ] || usage "--kernel takes a name"
		kernel=$2
		shift 2
	fi
	case ${1-} in
	--list) tests; return ;;
	--help) sed -n '3,6s/^# //p' "$0"; return ;;
	--quick) ;;
	-*) usage "no option '$1'" ;;
	esac
	choose "$@"
	echo "KTAP version 1"
	echo "1..${#chosen[@]}"
	for name in "${chosen[@]}"; do
		report $((number += 1)) "$name"
	done
	echo "# $((number - failed)) passed, $failed failed, 0 skipped"
	[ "$failed" = 0 ]
}
