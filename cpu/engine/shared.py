"""The engine's shared descriptor: one int64 array M per machine, for all its cores. Addresses are host addresses."""

from __future__ import annotations

from soc.nodes import MAX_CPUS

_names = [
    "RAM",  # address of the memory image: RAM, then ROM
    "RAM_BYTES",
    "ROM_BYTES",
    "PAGES",  # host pages of 4 KiB in the image
    "PAGE_CHUNK",  # per page: number of its chunk of the block map, 0: no code
    "PAGE_BLOCKS",  # per page: first block in its list, as an index into the pool
    "TOUCHED",  # per page, one byte: may hold other than zeros
    "CHUNKS",  # block map: per chunk, word in page -> block (index into the pool, 0: none), covered words, CHUNK_SHARED
    "CHUNK_NEXT",
    "CHUNK_FREE",  # first chunk given back, 0: none
    "CHUNK_LIMIT",
    "POOL",  # blocks: header, then micro-ops
    "SIDE",  # per word of the pool: index in block | BD << 7 | block << 8 | cycles since the block's start << 32
    "POOL_NEXT",
    "POOL_LIMIT",
    "STATES",  # address of the first core's state array, and the distance to the next
    "STATES_BYTES",
    "PREPARE",  # entry points of the tiers' code; this one is called once a run
    "ENTER",
    "ENTER_SLOW",
    "CORES",
    "TABLES",  # address of the first core's translation tables; cores follow each other
    "TABLES_BYTES",  # of one core
    "BLOCKS_BUILT",
    "PAGES_DROPPED",
    "POOL_FLUSHES",
    "STOPS",  # address of stop pcs, sorted
    "STOP_COUNT",
    "WATCHES",  # address of the watches: WATCH_WORDS each
    "WATCH_COUNT",
    "CHARGES",  # per micro-op: cycles << 20 | 1, see budget.py
    "HOT_AFTER",  # tier E: how often a block runs in tier T first
    "CODE",  # tier E: the code buffer, 0: no tier E; it begins with the way to tier T
    "CODE_LEAVE",  # the way to the loop
    "CODE_CONSTANTS",  # constants of stencils in it
    "CODE_FIRST",  # translated blocks grow from here,
    "CODE_NEXT",
    "CODE_STUBS",  # exits to tier T from its end
    "CODE_LIMIT",
    "STENCIL_CODE",  # tables of cpu/engine/stencil_tables.py
    "STENCIL_OPS",
    "STENCILS",
    "STENCIL_HOLES",
    "HELD",  # while a block is translated: what the values hold, see held.py
    "BLOCKS_TRANSLATED",
]
for _number, _name in enumerate(_names):
    globals()[_name] = _number
SIZE = len(_names)

CHUNK_WORDS = 1024 + 16 + 1
CHUNK_SHARED = 1024 + 16  # 1: a block of the page before has its delay slot here
FAR_LINK = 1  # in place of a link: the target lies in another page, only the jump cache may know it
# A watch: its first and last virtual address, and which accesses it means, of 1 << LOAD | 1 << STORE.
WATCH_FIRST, WATCH_LAST, WATCH_KINDS, WATCH_WORDS = range(4)
SCRATCH_WORDS = 1024  # per core, at the start of the pool: blocks that are used once
POOL_START = SCRATCH_WORDS * (MAX_CPUS + 1)

# How a parked core goes on inside its block: in the slow handler of the access at RESUME_IP; behind a store; behind the
# read of a configuration register, whose value is still to be written. RESUME_EXIT: not parked, but the tiers' code has
# been left and `run` is to deal with the exit record.
RESUME_SLOW, RESUME_STORED, RESUME_CSR, RESUME_EXIT = 1, 2, 3, 4


# Header of a block in the pool.
# H_PAGE: page of the image. H_MODES: what its words mean, see cpu/vz/mode.py. Of a translated block:
# H_JUMP1, H_JUMP2, host address of the displacement of the jump that goes with each link, 0: none; H_ENDS1, H_ENDS2,
# what the values hold there; H_BEGINS, what they must hold at host address H_INNER, where a jump may enter that brings
# them along (held.py).
(H_PC, H_NEXT, H_ALIAS, H_LINK1, H_LINK2, H_COUNT, H_PAGE, H_JUMP1, H_JUMP2, H_ENDS1, H_ENDS2, H_BEGINS, H_INNER,
 H_MODES, HEADER) = range(15)  # fmt: skip
