# SPDX-License-Identifier: GPL-2.0-only
"""tools/vm/run: options in, exit status out. README.md is its manual."""

import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import tty

from . import NoBoot, frames, initramfs, kernlog, machine, options
from .session import LOST_VCPU, Interrupted, Session, window_size

HERE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
REPO = os.path.dirname(os.path.dirname(HERE))
# The guest has a tmpfs on each of these.
HIDDEN = ("/tmp", "/run", "/var/tmp")
FAILED = 125
LOG_TAIL = 40
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def say(text):
    os.write(2, f"tools/vm/run: {text}\n".encode("utf-8", "replace"))


def _children(path):
    """All there is in a directory that the guest covers with a tmpfs."""
    try:
        return [os.path.join(path, name) for name in sorted(os.listdir(path))]
    except OSError:
        return []


def binds(wanted):
    """What the guest's tmpfs mounts would hide of the wanted directories."""
    paths = set()
    for path in wanted:
        if path in HIDDEN:
            paths.update(_children(path))
        elif path.startswith(tuple(top + "/" for top in HIDDEN)):
            paths.add(path)
    return [path for path in sorted(paths)
            if not any(path.startswith(other + "/") for other in paths)]


def terminal_size():
    return struct.unpack_from("HH", window_size(0))


def config(args, cwd, terminal):
    """The first frame: what init is to do. README.md lists the keys."""
    caller = {"PATH": DEFAULT_PATH, "HOME": "/root", "TERM": "dumb"}
    caller.update((name, os.environ[name]) for name in caller if name in os.environ)
    pairs = [("cwd", cwd), ("cgroup", args.cgroup)]
    pairs += [("bind", path) for path in binds([REPO, cwd])]
    pairs += [("env", f"{name}={value}") for name, value in caller.items()]
    pairs += [("env", text) for text in args.env]
    pairs += [("arg", text) for text in args.command]
    if args.out:
        pairs.append(("out", args.out))
    if terminal:
        rows, columns = terminal_size()
        pairs.append(("tty", f"{rows}x{columns}"))
    return frames.pack_config([(key, os.fsencode(text)) for key, text in pairs])


def open_log(path):
    """(read, append) descriptors of the console's file, nameless by default."""
    if path is None:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    else:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise SystemExit(usage(f"--dmesg {path}: {error.strerror}")) from None
    return fd, os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_APPEND)


def usage(text):
    say(text)
    return 2


def start_qemu(command, fds):
    """The kernel kills QEMU when the runner dies, however it dies."""
    errors = tempfile.TemporaryFile()
    try:
        qemu = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL,
            stdout=errors, stderr=errors, pass_fds=fds,
            start_new_session=True)
    except FileNotFoundError:
        raise NoBoot("setpriv is not installed: apt-get install util-linux") from None
    return qemu, errors


def check_tools():
    path = os.environ.get("PATH", DEFAULT_PATH).split(":")
    if not any(os.access(os.path.join(folder, "qemu-system-x86_64"), os.X_OK)
               for folder in path):
        raise NoBoot("qemu-system-x86_64 is not installed: run 'make run' once, "
                     "or apt-get install qemu-system-x86")


class RawTerminal:
    """The caller's terminal, if CMD is to have one: its keys go to the guest."""

    def __init__(self, session, wanted):
        self.session, self.wanted = session, wanted

    def __enter__(self):
        if self.wanted:
            self.saved = termios.tcgetattr(0)
            tty.setraw(0)
            self.session.raw = True
            signal.signal(signal.SIGWINCH,
                          lambda *unused: self.session.send_window_size())

    def __exit__(self, *unused):
        if self.wanted:
            signal.signal(signal.SIGWINCH, signal.SIG_DFL)
            termios.tcsetattr(0, termios.TCSADRAIN, self.saved)


def report_failure(session, outcome, lines, errors):
    """Why there is no exit status of CMD; the last line is the contract."""
    errors.seek(0)
    complaints = errors.read().decode("utf-8", "replace").strip()
    while lines and not lines[-1]:
        lines.pop()
    text = "" if session.stderr_at_bol else "\n"
    for line in lines[-LOG_TAIL:]:
        text += line + "\n"
    if complaints:
        text += complaints + "\n"
    os.write(2, text.encode("utf-8", "replace"))
    say(outcome.detail)
    say(outcome.reason)
    return FAILED


def report_log(session, outcome, verdict):
    text = "" if session.stderr_at_bol else "\n"
    text += "".join(line + "\n" for line in verdict.offending())
    os.write(2, text.encode("utf-8", "replace"))
    for pattern in verdict.unmatched:
        say(f"no line of the kernel log matches --expect-log '{pattern}'")
    if outcome.status:
        say(f"CMD's own exit status is {outcome.status}")
    say("log")
    return FAILED


def judge(args, session, outcome, errors):
    lines = kernlog.split(session.log())
    if outcome.reason:
        return report_failure(session, outcome, lines, errors)
    for line in kernlog.short_huge_pages(lines):
        say(f"warning: {line}")
    verdict = kernlog.Verdict(lines, args.expect_log)
    if not verdict.clean():
        return report_log(session, outcome, verdict)
    if outcome.status and kernlog.shows_lost_vcpu(lines):
        say(LOST_VCPU)
    return outcome.status


def prepare(args):
    """Whatever may be missing, before anything is started."""
    kernel = machine.kernel_path(REPO, args.kernel)
    check_tools()
    kvm = machine.use_kvm(args.accel, args.icount)
    archive = initramfs.get(os.path.join(HERE, "init"), os.path.join(REPO, "build/vm"))
    return kernel, kvm, archive


def boot(args):
    kernel, kvm, archive = prepare(args)
    terminal = os.isatty(0) and os.isatty(1)
    settings = config(args, os.getcwd(), terminal)
    read_log, append_log = open_log(args.dmesg)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    fds = (append_log, theirs.fileno())
    qemu, errors = start_qemu(machine.command(args, kvm, kernel, archive, *fds), fds)
    try:
        theirs.close()
        session = Session(args, ours, read_log, settings)
        with RawTerminal(session, terminal):
            outcome = session.run()
    finally:
        for number in CAUGHT:
            signal.signal(number, signal.SIG_IGN)
        qemu.kill()
        qemu.wait()
    return judge(args, session, outcome, errors)


CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interrupt(number, unused_frame):
    raise Interrupted(number)


def open_standard_fds():
    """A closed stdin, stdout or stderr must not become some other file."""
    while True:
        fd = os.open("/dev/null", os.O_RDWR)
        if fd > 2:
            os.close(fd)
            return
        os.set_inheritable(fd, True)


def main():
    open_standard_fds()
    args = options.parse(sys.argv[1:])
    for number in CAUGHT:
        signal.signal(number, interrupt)
    try:
        return boot(args)
    except NoBoot as error:
        say(error)
        say("no boot")
        return FAILED
    except Interrupted as signalled:
        number = signalled.args[0]
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return 128 + number
