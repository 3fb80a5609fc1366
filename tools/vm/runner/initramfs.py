# SPDX-License-Identifier: GPL-2.0-only
"""Builds the guest's initramfs, one static program, and caches it by content."""

import hashlib
import os
import shutil
import subprocess
import tempfile

from . import NoBoot

FLAGS = ["-O2", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra",
         "-Wno-missing-field-initializers", "-static", "-s"]


def _sources(folder):
    names = sorted(os.listdir(folder))
    return ([os.path.join(folder, name) for name in names if name.endswith(".c")],
            [os.path.join(folder, name) for name in names if name.endswith(".h")])


def _digest(paths):
    digest = hashlib.sha256(" ".join(FLAGS).encode())
    for path in paths:
        with open(path, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()[:16]


def _run(command, **kwargs):
    try:
        done = subprocess.run(command, stdin=kwargs.pop("stdin", subprocess.DEVNULL),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              check=False, **kwargs)
    except FileNotFoundError:
        raise NoBoot(f"{command[0]} is not installed: run 'make run' once, or "
                     f"apt-get install gcc libc6-dev cpio") from None
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().split("\n")[-1]
        raise NoBoot(f"cannot build the initramfs: {command[0]}: {last}")


def _build(sources, folder):
    """Compile init into folder and pack it; the kernel provides /dev/console."""
    root = os.path.join(folder, "root")
    os.mkdir(root)
    _run(["gcc", *FLAGS, "-o", os.path.join(root, "init"), *sources])
    listing = os.path.join(folder, "list")
    with open(listing, "w", encoding="ascii") as file:
        file.write("init\n")
    archive = os.path.join(folder, "initramfs.cpio")
    with open(listing, "rb") as file:
        _run(["cpio", "-o", "-H", "newc", "-R", "0:0", "--quiet", "-F", archive],
             cwd=root, stdin=file)
    return archive


def get(source, cache):
    """Path of the initramfs; others may build the same one at the same time."""
    sources, headers = _sources(source)
    path = os.path.join(cache, f"initramfs-{_digest(sources + headers)}.cpio")
    if os.path.exists(path):
        return path
    try:
        os.makedirs(cache, exist_ok=True)
        folder = tempfile.mkdtemp(prefix="initramfs-", dir=cache)
    except OSError as error:
        raise NoBoot(f"cannot write to {cache}: {error.strerror}") from None
    try:
        os.rename(_build(sources, folder), path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return path
