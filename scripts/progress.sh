# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# with_progress NAME LOG COMMAND...: run a build command with its output in LOG
# and, every few seconds, one line of how far it is. If it fails, show the
# errors of the log and where it is. The number of steps of the last run of
# NAME, kept in the cache, says how many to expect. Needs common.sh.

progress_steps() {
	grep -cE '^ +(\[[A-Z]+\] )?[A-Z0-9_]+ ' "$1" || true
}

# progress_report NAME LOG EXPECTED: one line; on a terminal it is overwritten.
progress_report() {
	local count of=

	count=$(progress_steps "$2")
	[ "$3" -lt "$count" ] || of=" of $3"
	of="$of steps: $(tail -n 1 "$2" | tr -s ' \t' ' ' | cut -c1-50)"
	if [ -t 2 ]; then
		printf '\r\033[K%s: %d s, %s%s' "$1" "$SECONDS" "$count" "$of" >&2
	else
		say "$1: $SECONDS s, $count$of"
	fi
}

progress_errors() {
	say "$1: FAILED after $SECONDS s; the last errors:"
	grep -nE 'error:|Error [0-9]|undefined reference|No space left|Killed|ERROR:|\*\*\*' "$2" |
		tail -n 15 >&2 || tail -n 5 "$2" >&2
	say "the whole log: $2"
}

# progress_wait NAME LOG EXPECTED JOB: report until the job ends.
progress_wait() {
	local interval=5 next

	[ -t 2 ] || interval=20
	next=$interval
	while sleep 0.2 && kill -0 "$4" 2>/dev/null; do
		if ((SECONDS >= next)); then
			progress_report "$1" "$2" "$3"
			next=$((SECONDS + interval))
		fi
	done
	if [ -t 2 ] && ((next > interval)); then
		printf '\r\033[K' >&2
	fi
}

with_progress() {
	local title=$1 log=$2 memory job count expected

	shift 2
	memory=${cache:?}/steps-${title// /-}
	mkdir -p "${log%/*}" "$cache"
	expected=$(cat "$memory" 2>/dev/null || echo 0)
	SECONDS=0
	: >"$log"
	# A process group of its own, so that nothing of it outlives an interrupt.
	set -m
	"$@" </dev/null >>"$log" 2>&1 9>&- &
	job=$!
	set +m
	# shellcheck disable=SC2064 # the job of now
	trap "kill -- -$job 2>/dev/null; exit 130" INT TERM
	progress_wait "$title" "$log" "$expected" "$job"
	trap - INT TERM
	wait "$job" || { progress_errors "$title" "$log"; return 1; }
	count=$(progress_steps "$log")
	[ "$count" -le "$expected" ] || echo "$count" >"$memory"
	say "$title: up to date, $SECONDS s, $count steps"
}
