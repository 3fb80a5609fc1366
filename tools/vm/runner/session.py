# SPDX-License-Identifier: GPL-2.0-only
"""
One virtual machine from start to end: moves bytes between CMD and the caller,
watches the clocks, and says how it ended. README.md defines the reasons.
"""

import collections
import fcntl
import os
import select
import struct
import termios
import time

from . import frames, kernlog

# Host seconds without any sign of life: console output during boot, init's
# heartbeat (one a guest second) later. Guest time is slower under --icount.
SILENCE = 60
SILENCE_ICOUNT = 300
# For what CMD left behind to die, and for the scan for leaks, which takes time
# for every gigabyte.
AFTERMATH = 300
SCAN = 1800
# For the console, which a kernel thread feeds, to show another line of the log.
FLUSH = 30
# The end of the log is in its last bytes.
TAIL = 8192
# For the guest to log what its tasks do when CMD takes too long.
DUMP = 10
# A pipe that polls as writable takes this much without blocking.
PIPE_BUF = 4096
INPUT_MAX = 4 * frames.DATA_MAX
# Ctrl-] on a terminal in raw mode.
ESCAPE = b"\x1d"
# scripts/test knows this text.
LOST_VCPU = "QEMU has lost a vCPU (\"Nested SVM\" in tools/vm/README.md)"
# What init logs last. In init/log.c, too.
END_OF_LOG = b"tools.vm.run: end of log"

Outcome = collections.namedtuple("Outcome", "reason detail status")


class Interrupted(Exception):
    """A signal ends the runner; the argument is its number."""


def window_size(fd):
    return fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8))


class Session:
    def __init__(self, args, port, log_fd, config):
        self.port = port
        self.log_fd = log_fd
        self.timeout = args.timeout
        self.silence = SILENCE_ICOUNT if args.icount else SILENCE
        self.parser = frames.Parser()
        self.to_guest = bytearray(config)
        self.to_host = collections.deque()
        self.stdin_open = True
        self.raw = False
        self.phase = "boot"
        self.phase_start = self.alive = time.monotonic()
        self.log_size = 0
        self.stderr_at_bol = True
        self.overdue = False
        self.outcome = None

    # Bytes ------------------------------------------------------------

    def send_window_size(self):
        self.to_guest += frames.pack(frames.WINSIZE, window_size(0))

    def _read_stdin(self):
        try:
            data = os.read(0, frames.DATA_MAX)
        except OSError:
            data = b""
        if self.raw and ESCAPE in data:
            raise Interrupted(2)
        self.to_guest += frames.pack(frames.STDIN, data)
        self.stdin_open = bool(data)

    def _write_host(self):
        """At most PIPE_BUF bytes, so that a slow reader never stops the clocks."""
        fd, data = self.to_host.popleft()
        try:
            done = os.write(fd, data[:PIPE_BUF])
        except BlockingIOError:
            done = 0
        except BrokenPipeError:
            raise Interrupted(13) from None
        except OSError as error:
            raise SystemExit(f"tools/vm/run: cannot write CMD's output: "
                             f"{error.strerror}") from None
        if fd == 2 and done:
            self.stderr_at_bol = data[done - 1:done] == b"\n"
        if done < len(data):
            self.to_host.appendleft((fd, data[done:]))
        self.alive = time.monotonic()

    def _write_port(self):
        try:
            done = self.port.send(self.to_guest)
        except OSError:
            return
        del self.to_guest[:done]

    def _read_port(self):
        try:
            data = self.port.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            self.outcome = self._stopped()
            return
        for kind, payload in self.parser.feed(data):
            self._take_frame(kind, payload)

    # Frames -----------------------------------------------------------

    def _enter(self, phase):
        self.phase = phase
        self.phase_start = time.monotonic()

    def _take_frame(self, kind, payload):
        self.alive = time.monotonic()
        if kind in (frames.STDOUT, frames.STDERR):
            self.to_host.append((1 if kind == frames.STDOUT else 2, payload))
        elif kind == frames.STARTED:
            self._enter("run")
        elif kind == frames.ENDED:
            self._enter("aftermath")
        elif kind == frames.SCAN:
            self._enter("scan")
        elif kind == frames.EXIT:
            self.outcome = self._exited(struct.unpack("<i", payload)[0])
        elif kind == frames.FAILED:
            self.outcome = Outcome("no boot", payload.decode("utf-8", "replace"), 0)

    def _exited(self, status):
        if os.WIFSIGNALED(status):
            return Outcome(None, "", 128 + os.WTERMSIG(status))
        return Outcome(None, "", os.WEXITSTATUS(status))

    # Ends -------------------------------------------------------------

    def log(self):
        size = os.fstat(self.log_fd).st_size
        return os.pread(self.log_fd, size, 0)

    def _stopped(self):
        """QEMU is gone without init's farewell: the log knows why."""
        if self.phase == "boot":
            return Outcome("no boot", "the virtual machine stopped before CMD ran", 0)
        cause = kernlog.panic_reason(kernlog.split(self.log()))
        if cause is None:
            return Outcome("panic", "the virtual machine stopped before CMD ended", 0)
        reason = "hang" if kernlog.HANG.search(cause) else "panic"
        return Outcome(reason, f"kernel panic: {cause}", 0)

    def _silent(self):
        text = f"no sign of life from the guest for {self.silence} seconds"
        if self.phase == "boot":
            return Outcome("no boot", text, 0)
        if kernlog.panic_reason(kernlog.split(self.log())) is not None:
            return Outcome("panic", "the kernel stopped in its panic", 0)
        return Outcome("hang", text, 0)

    def _timed_out(self):
        text = f"CMD ran longer than {self.timeout} seconds (--timeout)"
        if kernlog.shows_hang(kernlog.split(self.log())):
            return Outcome("hang", text + ", and the kernel reports a hang", 0)
        return Outcome("timeout", text, 0)

    def _check_clocks(self):
        now = time.monotonic()
        if self.phase == "boot" and os.fstat(self.log_fd).st_size != self.log_size:
            self.log_size = os.fstat(self.log_fd).st_size
            self.alive = now
        if self.phase == "run" and now - self.phase_start > self.timeout:
            self.overdue = True
            self.outcome = self._timed_out()
        elif self.phase == "aftermath" and now - self.phase_start > AFTERMATH:
            self.outcome = Outcome("hang", "CMD has ended, but a process it left "
                                   "behind cannot be killed", 0)
        elif self.phase == "scan" and now - self.phase_start > SCAN:
            self.outcome = Outcome("hang", "the scan for leaks does not end", 0)
        elif not self.to_host and now - self.alive > self.silence:
            self.outcome = self._silent()

    # The loop ---------------------------------------------------------

    def _poll_set(self):
        """While the caller does not take output the guest has to wait."""
        poll = select.poll()
        port = (0 if self.to_host else select.POLLIN) | (
            select.POLLOUT if self.to_guest else 0)
        if port:
            poll.register(self.port, port)
        if self.to_host:
            poll.register(self.to_host[0][0], select.POLLOUT)
        if self.stdin_open and len(self.to_guest) < INPUT_MAX:
            poll.register(0, select.POLLIN)
        return poll

    def _step(self):
        for fd, events in self._poll_set().poll(1000):
            if fd == self.port.fileno():
                if events & select.POLLOUT:
                    self._write_port()
                if events & ~select.POLLOUT and not self.to_host:
                    self._read_port()
            elif fd == 0 and events & ~select.POLLOUT:
                self._read_stdin()
            elif self.to_host and fd == self.to_host[0][0]:
                self._write_host()

    def run(self):
        while not self.outcome:
            self._step()
            self._check_clocks()
        while self.to_host:
            select_one(self.to_host[0][0])
            self._write_host()
        if self.outcome.reason is None:
            self._finish_log()
        elif self.overdue:
            self._dump_tasks()
            self._name_lost_vcpu()
        return self.outcome

    def _dump_tasks(self):
        """Let the log show what CMD was waiting for, if init can still be reached."""
        self.port.settimeout(DUMP)
        try:
            self.port.sendall(self.to_guest + frames.pack(frames.DUMP))
        except OSError:
            return
        self._await_log(DUMP)

    def _name_lost_vcpu(self):
        if kernlog.shows_lost_vcpu(kernlog.split(self.log())):
            detail = f"{LOST_VCPU}: {self.outcome.detail}"
            self.outcome = self.outcome._replace(detail=detail)

    def _finish_log(self):
        if not self._await_log(FLUSH):
            self.outcome = Outcome("log", "the console does not show the end of "
                                   "the kernel log", 0)

    def _log_tail(self):
        size = os.fstat(self.log_fd).st_size
        return size, os.pread(self.log_fd, TAIL, max(0, size - TAIL))

    def _await_log(self, seconds):
        """The console lags behind the log: wait for its end while it grows."""
        size, tail = self._log_tail()
        limit = time.monotonic() + seconds
        while END_OF_LOG not in tail and time.monotonic() < limit:
            time.sleep(0.005)
            last, (size, tail) = size, self._log_tail()
            if size != last:
                limit = time.monotonic() + seconds
        return END_OF_LOG in tail


def select_one(fd):
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    poll.poll()
