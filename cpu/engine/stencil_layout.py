"""What tier E's compiler (stencils.py, stencil_tables.py) and its copier (code_buffer.py, translation.py) agree on:
rows of tables, holes, numbers of stencils."""

from __future__ import annotations

VALUES = 6  # general registers held in host registers
ZERO = VALUES  # in place of a value: register 0

# What a hole is filled with. FIELD: a field of the micro-op; IP: its address; COUNT: the block's charge; PC, VALUE: a
# 64-bit number; ENTRY: offset of the jump cache's entry for PC; CONSTANT: a place in `constants`; the others are jumps.
(FIELD, IP, COUNT, PC, ENTRY, VALUE, CONSTANT, NEXT, COLD, TARGET, TAKEN, FALL, THREADED, LEAVE) = range(14)
# How it is written; MORE: added to what is there.
REL32, ABS32, ABS8, ABS64, MORE32, MORE8 = range(6)

# Stencils that belong to no micro-op. FETCH and STORE are the first of one per value, MOVE of one per pair of values:
# the one that takes, then the one that gives.
NEAR, DUE, FAR, COLD_STUB, TO_THREADED, TO_LOOP, CHECK_FPU, CHECK_MSA, CHECK_LASX, FETCH = range(1, 11)
STORE = FETCH + VALUES
MOVE = STORE + VALUES

# A row per micro-op, per stencil, per hole.
(O_KIND, O_WORDS, O_STENCIL, O_COLD, O_UNIT, O_READ0, O_READ1, O_READ2, O_WRITE, O_SAME, O_CLOBBER,
 O_DIRECT, O_GUARD, O_GUARDS, O_CP0_READ, OP_FIELDS) = range(16)  # fmt: skip
(S_CODE, S_SIZE, S_HOLE, S_HOLES, STENCIL_FIELDS) = range(5)
(H_AT, H_FORM, H_SOURCE, H_UP, H_DOWN, H_SCALE, H_ADD, HOLE_FIELDS) = range(8)

# What a translation does at a micro-op.
(K_LEAVE, K_STRAIGHT, K_BRANCH, K_LIKELY, K_GOTO, K_FAR, K_REGISTER) = range(7)
