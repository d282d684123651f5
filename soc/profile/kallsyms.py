"""The symbol table that a Linux kernel carries in its own image, as it lies in the guest's memory.

Format (Linux 6.1, scripts/kallsyms.c, with CONFIG_KALLSYMS_BASE_RELATIVE), in the order of addresses, each 8-aligned:
offsets (u32, one a symbol), base (u64), count (u32), names, markers (u32: where every 256th name begins), in stable
releases the order of the names, token table (256 texts), token index (u16: where each begins). A name is its length
(two bytes of 7 bits from 128 on) and that many tokens; the first letter of its text is the symbol's type.
"""

from __future__ import annotations

import re
import struct
from itertools import accumulate

DIGITS = b"".join(b"%d\0" % digit for digit in range(10))
"""A token that stands for no longer text is the letter itself: names use every digit."""
TOKENS, PER_MARKER = 256, 256
BASE_AND_COUNT = re.compile(rb"(?=.{3}[\x80-\x9f]\xff{4}(.{3})\0{5})", re.DOTALL)
"""A base in kseg0, and fewer than 2^24 symbols."""
FEWEST = 2 * PER_MARKER
LARGEST = 8 << 20
"""Bytes from the base to the token table, at most."""


def read(image: bytes) -> list[tuple[int, str, str]]:
    """(address, type, name) of every symbol of the kernels in `image`, whose start is 8-aligned in memory; empty where
    there is no such table. A kernel that has moved itself (CONFIG_RELOCATABLE) is there twice, each with its addresses.
    """
    at, symbols = -1, []
    while (at := image.find(DIGITS, at + 1)) >= 0:
        start, tokens = _token_table(image, at)
        nearest: list[tuple[int, str, str]] = []
        for found in BASE_AND_COUNT.finditer(image, max(0, start - LARGEST), start):
            count = int.from_bytes(found[1], "little")
            if found.start() % 8 == 0 and FEWEST <= count:
                names = _names(image, found.start() + 16, count, start)
                nearest = _symbols(image, found.start(), names, tokens) if names else nearest
        symbols += nearest
    return symbols


def _token_table(image: bytes, digits: int) -> tuple[int, list[bytes]]:
    """Start and texts of the token table whose ten digits lie at `digits`; (0, []) when its index is not behind it."""
    before = image[max(0, digits - 8192) : digits].split(b"\0")[-1 - ord("0") : -1]
    start = digits - sum(len(token) + 1 for token in before)
    tokens = image[start : start + 16384].split(b"\0", TOKENS)[:TOKENS]
    if len(before) < ord("0") or len(tokens) < TOKENS:
        return 0, []
    begins = list(accumulate((len(token) + 1 for token in tokens), initial=0))
    end = start + begins.pop()
    end += -end % 8
    index = struct.pack(f"<{TOKENS}H", *begins) if begins[-1] < 1 << 16 else b""
    return (start, tokens) if index and image.startswith(index, end) else (0, [])


def _names(image: bytes, at: int, count: int, limit: int) -> list[bytes]:
    """The tokens of `count` names that begin at `at`, when the markers behind them agree; else none."""
    first, names, begins = at, [], []
    for number in range(count):
        if at + 2 > limit:
            return []
        if number % PER_MARKER == 0:
            begins.append(at - first)
        length, at = image[at], at + 1
        if length & 0x80:
            length, at = length & 0x7F | image[at] << 7, at + 1
        if length == 0:
            return []
        names.append(image[at : at + length])
        at += length
    at += -at % 8
    return names if image.startswith(struct.pack(f"<{len(begins)}I", *begins), at) else []


def _symbols(image: bytes, base_at: int, names: list[bytes], tokens: list[bytes]) -> list[tuple[int, str, str]]:
    (base,) = struct.unpack_from("<Q", image, base_at)
    size = 4 * len(names)
    offsets = struct.unpack_from(f"<{len(names)}I", image, base_at - size - size % 8)
    texts = (b"".join(tokens[token] for token in name).decode("ascii", "replace") for name in names)
    return [(base + offset, text[:1], text[1:]) for offset, text in zip(offsets, texts, strict=True)]
