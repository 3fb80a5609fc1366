# SPDX-License-Identifier: GPL-2.0-only
"""Is a kernel log clean? README.md, "The kernel log", is the specification."""

import re

# One alternative per kind of report. Case matters: "DEBUG" and "bugs" are fine.
BAD = re.compile("|".join((
    r"\bBUG\b",
    r"\bWARNING:",
    r"\bOops\b",
    r"\bKASAN\b",
    r"\bKCSAN\b",
    r"\bUBSAN\b",
    r"-+\[ cut here \]-+",
    r"general protection fault[,:]",
    r"Kernel panic",
    r"\bdouble fault\b",
    r"possible (recursive|circular|irq lock inversion)",
    r"inconsistent lock state",
    r"trying to register non-static key",
    r"suspicious RCU usage",
    r"bad unlock balance",
    r"Voluntary context switch within RCU",
    r"unreferenced object 0x",
    r"kmemleak: [1-9][0-9]* new suspected memory leaks",
    r"kmemleak: .*(unknown object|Cannot insert|by alias|pool empty)",
    r"INFO: task .* blocked ",
    r"blocked for more than [0-9]+ seconds",
    r"soft lockup",
    r"hard LOCKUP",
    r"workqueue lockup",
    r"rcu.*(detected stall|self-detected stall|stalls on CPU)",
    r"rcu.*kthread (starved|timer wakeup didn't happen)",
    r"printk messages dropped",
)))

PANIC = re.compile(r"Kernel panic - not syncing: ?(.*)")

# What the kernel itself calls a hang, as a report or as the cause of a panic.
HANG = re.compile(r"hung_task|softlockup|soft lockup|hard LOCKUP|RCU Stall"
                  r"|rcu.*detected stall|INFO: task .* blocked")

# The kernel's own address in a vCPU of CMD: README.md, "Nested SVM".
LOST_VCPU = re.compile(r"tools\.vm\.run: vCPUs (exit|have shut down) at .*\(_*svm_vcpu_run\)")

# The command line is the user's text, and echoed.
ECHO = re.compile(r"[Cc]ommand line:|[Cc]ommand line parameters|unknown parameter"
                  r"|unknown boot option")

CUT_HERE = re.compile(r"-+\[ cut here \]-+")
END_TRACE = re.compile(r"---\[ end trace")
OOPS = re.compile(r"\bOops: ")
# What may stand above the Oops line, with a few lines about the page tables.
OOPS_HEAD = re.compile(r"\bBUG: (kernel NULL|unable to handle)|kernel BUG at")
OOPS_HEAD_LINES = 8
# Sanitizers put their reports between two such lines, lockdep only after one.
FENCE = re.compile(r"={40,}$")
FENCED = re.compile(r"BUG: K[A-Z]+:")
# kmemleak indents what it knows of an object.
LEAK = re.compile(r"unreferenced object 0x")
INDENTED = re.compile(r"(\[ *[0-9.]+\](\[[^]]*\])? )?\s+\S")
HUGE_SHORT = re.compile(r"HugeTLB: allocating .* failed.*")


def split(data):
    """Lines of a console log as text, whatever bytes it holds."""
    return [line.rstrip("\r") for line in
            data.decode("utf-8", "replace").split("\n")]


def _trace_start(lines, first, last):
    """Where the report that ends at line last begins, not before first."""
    for index in range(last, first - 1, -1):
        if CUT_HERE.search(lines[index]):
            return index
    for oops in range(last, first - 1, -1):
        if OOPS.search(lines[oops]):
            top = max(first, oops - OOPS_HEAD_LINES)
            heads = (index for index in range(top, oops)
                     if OOPS_HEAD.search(lines[index]))
            return next(heads, oops)
    return None


def blocks(lines):
    """Index ranges of whole reports: cut here .. end trace, fence .. fence."""
    done, fence = 0, None
    for index, line in enumerate(lines):
        if END_TRACE.search(line):
            start = _trace_start(lines, done, index)
            if start is not None:
                yield start, index + 1
            done, fence = index + 1, None
        elif FENCE.search(line):
            if fence is not None:
                yield fence, index + 1
                fence = None
            elif any(map(FENCED.search, lines[index + 1:index + 2])):
                fence = index


def leaks(lines):
    """Index ranges of kmemleak's objects."""
    for start, line in enumerate(lines):
        if LEAK.search(line):
            end = start + 1
            while end < len(lines) and INDENTED.match(lines[end]):
                end += 1
            yield start, end


class Verdict:
    """What is wrong with a log: offending lines, expectations not met."""

    def __init__(self, lines, expected):
        matches = [{index for index, line in enumerate(lines)
                    if regex.search(line) and not ECHO.search(line)}
                   for regex in expected]
        excused = set().union(*matches)
        self.ranges = [*blocks(lines), *leaks(lines)]
        for start, end in self.ranges:
            if excused.intersection(range(start, end)):
                excused.update(range(start, end))
        self.lines = lines
        self.unmatched = [regex.pattern for regex, found
                          in zip(expected, matches) if not found]
        self.bad = [index for index, line in enumerate(lines)
                    if index not in excused and BAD.search(line)
                    and not ECHO.search(line)]

    def clean(self):
        return not self.bad and not self.unmatched

    def offending(self):
        """The bad lines, each with the rest of the report it stands in."""
        wanted = set(self.bad)
        for start, end in self.ranges:
            if wanted.intersection(range(start, end)):
                wanted.update(range(start, end))
        return [self.lines[index] for index in sorted(wanted)]


def panic_reason(lines):
    """What the kernel gave as cause of its panic, None if it did not panic."""
    for line in lines:
        found = PANIC.search(line)
        if found:
            return found.group(1)
    return None


def shows_hang(lines):
    return any(HANG.search(line) for line in lines if not ECHO.search(line))


def shows_lost_vcpu(lines):
    return any(map(LOST_VCPU.search, lines))


def short_huge_pages(lines):
    """The kernel's words for: fewer huge pages than --hugepages asks for."""
    return [match.group(0) for match in map(HUGE_SHORT.search, lines) if match]
