# SPDX-License-Identifier: GPL-2.0-only
"""Frames between the runner and the guest's init: init/proto.h, in Python."""

import struct

PORT_NAME = "tools.vm.run"
HEADER = struct.Struct("<II")
DATA_MAX = 16384

CONFIG = ord("C")
STDIN = ord("I")
WINSIZE = ord("W")
DUMP = ord("D")
STARTED = ord("S")
BEAT = ord("B")
STDOUT = ord("O")
STDERR = ord("E")
ENDED = ord("N")
SCAN = ord("K")
EXIT = ord("X")
FAILED = ord("F")


def pack(kind, data=b""):
    return HEADER.pack(kind, len(data)) + data


def pack_config(pairs):
    """One CONFIG frame of (key, value) pairs; values may hold any byte but NUL."""
    return pack(CONFIG, b"".join(key.encode() + b"=" + value + b"\0"
                                 for key, value in pairs))


class Parser:
    """Cuts a stream of bytes into (kind, payload) frames."""

    def __init__(self):
        self.buffer = bytearray()

    def feed(self, data):
        self.buffer += data
        while len(self.buffer) >= HEADER.size:
            kind, size = HEADER.unpack_from(self.buffer)
            end = HEADER.size + size
            if len(self.buffer) < end:
                return
            yield kind, bytes(self.buffer[HEADER.size:end])
            del self.buffer[:end]
