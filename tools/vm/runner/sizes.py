# SPDX-License-Identifier: GPL-2.0-only
"""Sizes as people write them: 6G, 512M, 4096K."""

import re

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def parse(text):
    found = re.fullmatch(r"([0-9]+)([KMG]?)", text)
    if not found:
        raise ValueError(f"'{text}' is no size: write it as 512M or 6G")
    return int(found.group(1)) * UNITS[found.group(2)]


def text(size):
    for unit in "GMK":
        if size and size % UNITS[unit] == 0:
            return f"{size // UNITS[unit]}{unit}"
    return str(size)
