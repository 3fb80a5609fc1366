# SPDX-License-Identifier: GPL-2.0-only
"""The command line of tools/vm/run. README.md is its manual."""

import argparse
import os
import re

from . import machine, sizes

EPILOG = """\
Sizes take K, M or G. CMD runs as root in the caller's directory, with its
stdin, PATH, HOME and TERM, on a read-only view of the host's root.

Exit status: CMD's (128+N if signal N ended it) if the kernel log is clean;
125, with a last line "tools/vm/run: REASON" on stderr, if not: REASON is one
of "no boot", "panic", "hang", "timeout", "log"; 2 for a mistake in the
options. With a terminal on stdin and stdout CMD gets one too: Ctrl-] stops
the virtual machine.

Examples:
  tools/vm/run -- uname -r
  tools/vm/run --kernel debug --hugepages 1G=1,2M=64 -- ./my_test
  tools/vm/run --out results -- sh -c 'dmesg > results/dmesg'
  tools/vm/run -- bash
"""


class Parser(argparse.ArgumentParser):
    """One line for a mistake, and no guessing at abbreviations."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _size(text):
    try:
        return sizes.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text):
    if not re.fullmatch(r"[1-9][0-9]*", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 1 up")
    return int(text)


def _huge_pages(text):
    pools = {}
    for part in filter(None, text.split(",")):
        size, equals, count = part.partition("=")
        if not equals or not count.isdecimal() or _size(size) not in (1 << 30, 2 << 20):
            raise argparse.ArgumentTypeError(
                f"'{part}' is no pool: write 1G=N, 2M=N, or both with a comma")
        pools[_size(size)] = int(count)
    return pools


def _regex(text):
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"'{text}': {error}") from None


def _variable(text):
    if not re.match(r"[A-Za-z_][A-Za-z0-9_]*=", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=VALUE")
    return text


def _parser():
    parser = Parser(
        prog="tools/vm/run", usage="tools/vm/run [OPTIONS] -- CMD [ARG...]",
        description="Boot a built kernel under QEMU and run CMD in it as root.",
        epilog=EPILOG, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--kernel", metavar="K", default="release",
        help="release, debug, stock, kcsan, gcov, or a path to a bzImage (release)")
    add("--mem", metavar="SIZE", type=_size, default="6G",
        help="memory; may exceed the host's (6G)")
    add("--cpus", metavar="N", type=_count, help="processors (2; 1 with --icount)")
    add("--hugepages", metavar="1G=N,2M=N", type=_huge_pages, default="1G=2",
        help="HugeTLB pools, allocated at boot (1G=2)")
    add("--numa", metavar="N", type=_count, default=1,
        help="spread memory and processors evenly over N nodes (1)")
    add("--icount", action="store_true",
        help="guest time counts instructions: repeatable, one processor")
    add("--accel", choices=("auto", "kvm", "tcg"), default="auto",
        help="auto takes KVM only if it works and offers nested SVM or VMX (auto)")
    add("--append", metavar="ARGS", action="append", default=[],
        help="more kernel parameters, after the default ones")
    add("--timeout", metavar="SECONDS", type=_count, default=600,
        help="longest run of CMD (600)")
    add("--dmesg", metavar="FILE", help="keep the kernel log in FILE")
    add("--cgroup", choices=("v2", "v1"), default="v2",
        help="control group hierarchy on /sys/fs/cgroup (v2)")
    add("--env", metavar="NAME=VALUE", type=_variable, action="append", default=[],
        help="set a variable for CMD; repeatable")
    add("--out", metavar="DIR", help="host directory CMD may write to, at its own path")
    add("--expect-log", metavar="REGEX", type=_regex, action="append", default=[],
        help="excuse matching log lines, fail if there are none; repeatable")
    return parser


def _check_kernel(parser, kernel):
    """A path that leads nowhere is not a mistake here but a failed boot."""
    if kernel not in machine.KERNELS and "/" not in kernel \
            and not os.path.exists(kernel):
        parser.error(f"--kernel {kernel}: neither a file nor one of "
                     + ", ".join(machine.KERNELS))


def _check(parser, args):
    """What no single option shows."""
    if args.cpus is None:
        args.cpus = 1 if args.icount else 2
    if args.icount and args.cpus != 1:
        parser.error(f"--icount takes one processor, not --cpus {args.cpus}")
    if args.icount and args.accel == "kvm":
        parser.error("--icount counts instructions of --accel tcg, KVM cannot")
    if args.mem < 256 << 20 or args.mem % (4 << 20):
        parser.error(f"--mem {sizes.text(args.mem)}: give a multiple of 4M from 256M up")
    if args.numa > 1 and (args.mem // args.numa) % (4 << 20):
        parser.error(f"--mem {sizes.text(args.mem)} does not divide by --numa "
                     f"{args.numa} into multiples of 4M")
    pools = sum(size * count for size, count in args.hugepages.items())
    if pools > args.mem - (192 << 20):
        parser.error(f"--hugepages of {sizes.text(pools)} do not fit in --mem "
                     f"{sizes.text(args.mem)}: raise --mem or lower --hugepages")


def _check_paths(parser, args):
    if args.out is not None:
        try:
            os.makedirs(args.out, exist_ok=True)
        except OSError as error:
            parser.error(f"--out {args.out}: {error.strerror}")
        if not os.access(args.out, os.W_OK):
            parser.error(f"--out {args.out}: not writable")
        args.out = os.path.realpath(args.out)


def parse(argv):
    parser = _parser()
    if "--" in argv:
        split = argv.index("--")
        args, command = parser.parse_args(argv[:split]), argv[split + 1:]
    else:
        args, command = parser.parse_args(argv), []
    if not command:
        parser.error("no command: put '-- CMD [ARG...]' after the options")
    _check(parser, args)
    _check_kernel(parser, args.kernel)
    _check_paths(parser, args)
    args.command = command
    return args
