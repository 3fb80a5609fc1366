# SPDX-License-Identifier: GPL-2.0-only
"""The host's half of tools/vm/run; README.md in the folder above explains it."""


class NoBoot(Exception):
    """The virtual machine cannot be started; the text says why."""
