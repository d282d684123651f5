"""Layout of a translation context's tables: reads, writes, fetches, and the jump cache.

Reads and writes: (tag, addend) per 4 KiB page, host address = virtual address + addend; tag -1 is empty. Fetches: (tag,
host page). Jump cache (jump_cache.py): (virtual pc, address of its block's first micro-op).
"""

from __future__ import annotations

ENTRIES = 1024
TABLE_MASK = ENTRIES - 1
WRITE_OFFSET = ENTRIES * 16
FETCH_OFFSET = 2 * ENTRIES * 16
PAGE_ENTRIES = 3 * ENTRIES
JUMP_CACHE_ENTRIES = 4096
JUMP_CACHE_MASK = JUMP_CACHE_ENTRIES - 1
JUMP_CACHE_OFFSET = PAGE_ENTRIES * 16
TABLE_BYTES = JUMP_CACHE_OFFSET + JUMP_CACHE_ENTRIES * 16
CONTEXTS = 16
