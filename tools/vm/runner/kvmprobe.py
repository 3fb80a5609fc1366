# SPDX-License-Identifier: GPL-2.0-only
"""
Can this host's KVM run our guests? They need SVM or VMX of their own, and some
hosts have a /dev/kvm that cannot even make a processor. The ioctls are those of
Documentation/virt/kvm/api.rst.
"""

import fcntl
import os
import struct

CREATE_VM = 0xAE01
CREATE_VCPU = 0xAE41
GET_SUPPORTED_CPUID = 0xC008AE05

ENTRY = struct.Struct("<10I")  # function, index, flags, eax, ebx, ecx, edx, padding
ENTRIES = 256
LEAVES = {1: 1 << 5, 0x80000001: 1 << 2}  # ecx bits of VMX and of SVM


def _nested(kvm):
    table = bytearray(struct.pack("<II", ENTRIES, 0) + bytes(ENTRY.size * ENTRIES))
    fcntl.ioctl(kvm, GET_SUPPORTED_CPUID, table)
    count = struct.unpack_from("<I", table)[0]
    for index in range(count):
        entry = ENTRY.unpack_from(table, 8 + index * ENTRY.size)
        if entry[5] & LEAVES.get(entry[0], 0):
            return True
    return False


def problem():
    """None if KVM will do, else why not."""
    fds = []
    try:
        fds.append(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
        fds.append(fcntl.ioctl(fds[0], CREATE_VM, 0))
        fds.append(fcntl.ioctl(fds[1], CREATE_VCPU, 0))
        if not _nested(fds[0]):
            return "/dev/kvm offers no nested SVM or VMX"
        return None
    except OSError as error:
        return f"/dev/kvm: {error.strerror}"
    finally:
        for fd in fds:
            os.close(fd)
