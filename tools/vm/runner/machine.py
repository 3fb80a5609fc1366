# SPDX-License-Identifier: GPL-2.0-only
"""The virtual machine as a QEMU command line."""

import os
import re
import subprocess

from . import NoBoot, frames, kvmprobe

KERNELS = ("release", "debug", "stock", "kcsan", "gcov")

# panic=-1 with -no-reboot: a panic ends QEMU at once. ignore_loglevel: the log
# is the verdict, no program may quieten it. The watchdog of the clock source
# compares emulated clocks that a busy host stops at different times.
PARAMETERS = [
    "console=ttyS0", "earlycon=uart8250,io,0x3f8,115200", "ignore_loglevel", "printk.devkmsg=on",
    "panic=-1", "tsc=reliable", "no_timer_check", "rdinit=/init",
    "hugetlb_free_vmemmap=on", "kvm.vm_memory_attributes=0",
]

# Chance changes what a program executes, its addresses among it.
ICOUNT_PARAMETERS = ["norandmaps"]

# The first QEMU whose multi-threaded TCG sees every write to code, but for one
# case: README.md, "Code that changes".
MTTCG_VERSION = (8, 1)
# Emulated, "rep stosb" is a loop over bytes; without these the kernel clears and
# copies words, nine times as fast. Of fsrs and fzrm an older QEMU knows nothing.
NO_BYTE_STRINGS = "-erms,-fsrm"


def use_kvm(accel, icount):
    if accel == "tcg" or icount:
        return False
    problem = kvmprobe.problem()
    if accel == "kvm" and problem:
        raise NoBoot(f"--accel kvm: {problem}: use --accel tcg")
    return not problem


def kernel_path(repo, kernel):
    """A name is one of ours, all else a file."""
    if kernel in KERNELS:
        path = os.path.join(repo, f"build/obj-{kernel}/arch/x86/boot/bzImage")
        hint = f"run 'make kernel K={kernel}'"
    else:
        path, hint = kernel, "give a bzImage"
    if not os.path.isfile(path):
        raise NoBoot(f"no kernel at {os.path.relpath(path)}: {hint}")
    if not os.access(path, os.R_OK):
        raise NoBoot(f"cannot read {path}: check its mode")
    return path


def qemu_version():
    """(major, minor) of the QEMU that will run."""
    done = subprocess.run(["qemu-system-x86_64", "--version"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=False)
    found = re.search(rb"version (\d+)\.(\d+)", done.stdout)
    if not found:
        raise NoBoot("qemu-system-x86_64 --version names no version: reinstall qemu-system-x86")
    return int(found[1]), int(found[2])


def parameters(args):
    """Pools of the default size last: the kernel reads the pairs in order."""
    words = PARAMETERS + (ICOUNT_PARAMETERS if args.icount else [])
    for size, name in ((1 << 30, "1G"), (2 << 20, "2M")):
        if args.hugepages.get(size):
            words += [f"hugepagesz={name}", f"hugepages={args.hugepages[size]}"]
    return " ".join(words + args.append)


def _accelerator(args, kvm):
    # By LA57 in boot_cpu_data KASAN tells where its shadow begins, and identify_cpu()
    # clears it for a moment: to an interrupt just then all of memory is wild.
    depth = ",-la57" if args.kernel == "debug" else ""
    if kvm:
        return ["-accel", "kvm", "-cpu", "host,host-phys-bits=on" + depth]
    new = qemu_version() >= MTTCG_VERSION
    cpu = ["-cpu", "max,phys-bits=46," + NO_BYTE_STRINGS + (",-fsrs,-fzrm" if new else "") +
           depth]
    if args.icount:
        return ["-accel", "tcg,thread=single", "-icount", "shift=0", "-seed", "1", *cpu]
    return ["-accel", f"tcg,thread={'multi' if new else 'single'}", *cpu]


def _share(total, parts, index):
    """The range of total that the index-th of parts gets, sizes as even as can be."""
    return total * index // parts, total * (index + 1) // parts


def _memory(args):
    """Nothing is reserved on the host, so a guest's terabyte costs what it touches."""
    options = ["-m", f"{args.mem >> 20}M"]
    if args.numa == 1:
        return options + [
            "-smp", str(args.cpus),
            "-object", f"memory-backend-ram,id=mem0,size={args.mem},reserve=off",
            "-machine", "memory-backend=mem0"]
    # Processors that share a cache must share a node: a socket for each.
    options += ["-smp", f"{args.cpus},sockets={args.cpus},cores=1,threads=1"]
    for node in range(args.numa):
        first, last = _share(args.cpus, args.numa, node)
        cpus = f",cpus={first}-{last - 1}" if last > first else ""
        options += [
            "-object", f"memory-backend-ram,id=mem{node},reserve=off,"
                       f"size={args.mem // args.numa}",
            "-numa", f"node,nodeid={node},memdev=mem{node}{cpus}"]
    return options


def _escape(path):
    return path.replace(",", ",,")


def _shares(args):
    """The host's root, and the directory that may be written to."""
    options = ["-fsdev", "local,id=host,path=/,security_model=none,readonly=on,"
               "multidevs=remap",
               "-device", "virtio-9p-pci,fsdev=host,mount_tag=host"]
    if args.out:
        options += ["-fsdev", f"local,id=out,path={_escape(args.out)},"
                    "security_model=none,multidevs=remap",
                    "-device", "virtio-9p-pci,fsdev=out,mount_tag=out"]
    return options


def command(args, kvm, kernel, initramfs, log_fd, port_fd):
    """QEMU's argument vector; it inherits the two file descriptors."""
    return [
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
        "-no-reboot", "-machine", "q35", *_accelerator(args, kvm), *_memory(args),
        "-kernel", kernel, "-initrd", initramfs, "-append", parameters(args),
        "-add-fd", f"fd={log_fd},set=1",
        "-chardev", "file,id=log,path=/dev/fdset/1,append=on",
        "-serial", "chardev:log",
        "-device", "virtio-serial-pci",
        "-chardev", f"socket,id=port,fd={port_fd}",
        "-device", f"virtserialport,chardev=port,name={frames.PORT_NAME}",
        *_shares(args)]
