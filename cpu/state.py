"""The vCPU state: one int64 array with named offsets, read by the int, IR and numba sides alike.

Every register is one 64-bit slot; 32-bit registers are kept sign-extended when the manual says so (GPRs) and
zero-extended otherwise (CP0 32-bit registers, FCSR). `SLOTS` maps a name to (offset, count). Slots with `host` hold
addresses of host memory, caches, and what only the host's side of a run decides: a snapshot leaves them out.
"""

from __future__ import annotations

SLOTS: dict[str, tuple[int, int]] = {}
HOST: set[str] = set()
_next = 0


def _slot(name: str, count: int = 1, align: int = 1, host: bool = False) -> int:
    global _next
    _next += -_next % align
    SLOTS[name] = (_next, count)
    if host:
        HOST.add(name)
    _next += count
    return SLOTS[name][0]


GPR = _slot("gpr", 32)
SINK = _slot("sink")  # writes to r0 land here
HI = _slot("hi")
LO = _slot("lo")
PC = _slot("pc")  # next instruction, when the core is not inside a block
COND = _slot("cond")  # a branch condition evaluated before a delay slot that changes its operands
TARGET = _slot("target")  # likewise a jump target

# The exit record of a handler (threaded tier): why it left, and where.
EXIT_REASON = _slot("exit_reason")
EXIT_N = _slot("exit_n")  # budget left (cpu/engine/budget.py), with the whole current block already charged
EXIT_IP = _slot("exit_ip", host=True)  # address of the micro-op
EXIT_VA = _slot("exit_va")  # address as BadVAddr shows it
EXIT_EA = _slot("exit_ea")  # address of the access itself (aligned down by LDL/LDR and kin)
EXIT_CODE = _slot("exit_code", host=True)  # ExcCode of a trap, or the address of a link
SLOW_POINTER = _slot("slow_pointer", host=True)  # host address a slow-path access uses
BOUNCE = _slot("bounce", 4, align=4)  # buffer for MMIO, page-crossing and code-page accesses

# Model time, in core cycles since reset.
NEVER = 1 << 62
DEADLINE = _slot("deadline")  # cycle at which the budget n has no cycles left
DONE = _slot("done")  # instructions completed when the budget was given
CYCLES = _slot("cycles")  # cycle of the current boundary, or of the instruction under way
INSTRUCTIONS = _slot("instructions")  # completed since reset, as of CYCLES
UNTIL = _slot("until", host=True)  # horizon given by the caller
SLICE_END = _slot("slice_end", host=True)  # cycle at which the host gets a look in
LIMIT = _slot("limit", host=True)  # completed instructions at which to stop exactly
STEP = _slot("step", host=True)  # how the core goes on from where a debugger saw it stand
PASS, ONE = 1, 2  # past the stop pc there, which has been told of; likewise, and it stops behind one instruction
STEP_PC = _slot("step_pc", host=True)  # where that one instruction began, and what was completed then
STEP_DONE = _slot("step_done", host=True)
WATCH_STOPPED = _slot("watch_stopped", host=True)  # 1 + completed before an access that a watch has stopped: it passes
WATCH_HIT = _slot("watch_hit", host=True)  # 1 + the number of that watch until it is told of, else 0
COUNT_BASE = _slot("count_base")  # Count - cycles / COUNT_DIVIDER, modulo 2^32
COUNT_DIVIDER = _slot("count_divider")  # cycles per Count
CORE_CLOCK = _slot("core_clock")  # Hz
STABLE_CLOCK = _slot("stable_clock")  # Hz, of the stable counter
EXCEPTION_ENTRY = _slot("exception_entry")  # cycles from an exception to its handler

SAMPLE = _slot("sample")  # 1: pc is a boundary whose interrupts are not yet sampled
WAITING = _slot("waiting")  # 1: inside WAIT
RESUME = _slot("resume")  # how to go on inside a block, see cpu/engine/loop.py
RESUME_IP = _slot("resume_ip", host=True)
BLOCK_START = _slot("block_start", host=True)  # cycle of the first instruction of the block being resumed
BLOCK_DONE = _slot("block_done", host=True)  # instructions completed before it
FAULT_DONE = _slot("fault_done")  # instructions completed when the last exception was taken
FAULT_COUNT = _slot("fault_count")  # exceptions since, with none completed
PENDING_STORE = _slot("pending_store")  # what becomes of the bounce buffer after a slow store
ACCESS_PA = _slot("access_pa")  # physical address of the slow access, and of its second page
ACCESS_PA2 = _slot("access_pa2")
ACCESS_SIZE = _slot("access_size")
ACCESS_SPACE = _slot("access_space")  # of the access that left the core: MEMORY_SPACE, CSR_SPACE
MEMORY_SPACE, CSR_SPACE = 0, 1  # as Space in soc/messages.py
DROPPED = _slot("dropped", host=True)  # pages of code dropped before the slow store under way
STOP_WORD = _slot("stop_word")  # the instruction that is not modelled

RESUME_DELAY = _slot("resume_delay")  # 1: the parked instruction sits in a delay slot
AWAITS = _slot("awaits")  # 1: parked until a reply comes
REQUEST = _slot("request")  # 1: a read, 2: a write has left the core and not been collected
HELD = _slot("held")  # 1: at reset, until released

# What reaches the core from outside: (cycle, kind, value), in order.
EVENT_LINE, EVENT_REPLY, EVENT_ERROR, EVENT_RELEASE = range(4)
EVENT_ROOM = 128
EVENTS = _slot("events", 3 * EVENT_ROOM)
EVENT_HEAD = _slot("event_head")
EVENT_COUNT = _slot("event_count")

# The link of LL of the current context, and the other context's while it does not run.
LLBIT = _slot("llbit")
LLADDR = _slot("lladdr")
LLVAL = _slot("llval")
OTHER_LINK = _slot("other_link", 3)

FCSR = _slot("fcsr")
MSACSR = _slot("msacsr")
FPR_STRIDE = 4  # 256 bits per register: FPR, MSA and LASX are views of one file
FPR = _slot("fpr", 32 * FPR_STRIDE, align=4)

# What VZ has twice: the root context, and at distance GUEST the guest context.
CP0 = _slot("cp0", 256)  # index = register * 8 + select
TLB_ENTRIES = 64  # of any page size: all there are, or the VTLB where there is an FTLB too
FTLB_WAYS, FTLB_SETS = 8, 256
FTLB_ENTRIES = FTLB_WAYS * FTLB_SETS
TLB_FIELDS = 7  # vpn2 (with R), mask, asid, global, entrylo0, entrylo1, GuestID; mask < 0: EHINV
TLB = _slot("tlb", TLB_ENTRIES * TLB_FIELDS)
FTLB = _slot("ftlb", FTLB_ENTRIES * TLB_FIELDS)  # right behind: entry e of either lies at TLB + e * TLB_FIELDS
TLB_LAST = _slot("tlb_last")  # index of the last match or write, tried first
TIMER = _slot("timer")  # cycle at which Count reaches Compare
TIMER_CAME = _slot("timer_came")  # cycle at which it last did
EXCEPTIONS = _slot("exceptions", 64)  # taken by this context, by ExcCode; 32: refills
TLB_REFILLS = 32
for _name in ("cp0", "tlb", "ftlb", "tlb_last", "timer", "timer_came", "exceptions"):
    _slot("guest_" + _name, SLOTS[_name][1])
GCP0, GTLB, GEXCEPTIONS = (SLOTS[_name][0] for _name in ("guest_cp0", "guest_tlb", "guest_exceptions"))
GUEST = GCP0 - CP0

VZ_CHOICES = _slot("vz_choices")  # bits of cpu/vz/choices.py
GUEST_IDS = _slot("guest_ids")  # the bits that a GuestID has, 0: no GuestIDs
# The guest's stable timer (cpu/cp0/stable.py).
GUEST_STABLE_CFG = _slot("guest_stable_cfg")  # TIMER_CFG
GUEST_STABLE_END = _slot("guest_stable_end")  # tick of the stable counter at which it is at 0, -1: it stands still
GUEST_STABLE_LEFT = _slot("guest_stable_left")  # TIMER_TICKS while it does
GUEST_STABLE_OFFSET = _slot("guest_stable_offset")  # added to the stable counter that the guest reads

BANK = _slot("bank")  # 0 in root mode, GUEST in guest mode
UNITS = _slot("units")  # CU1 (as in Status), MSAEn (Config5), LASXEN (Config) as instructions find them, and MODES
NOTED = _slot("noted")  # 1: NOTED_WORD is the instruction about to raise an exception; 2: NOTED_BRANCH also stands
NOTED_WORD = _slot("noted_word")
NOTED_BRANCH = _slot("noted_branch")

# Root mode as a model in Python (cpu/vz/face.py).
HYPERVISOR = _slot("hypervisor")  # `run` stops instead of executing 1: in root mode; 2: in root's kernel mode
ROOT_MODE, KERNEL_MODE = 1, 2
GPA_PGD = _slot("gpa_pgd", host=True)  # host address of the page table the root refill walks, 0: none
REFILL_COST = _slot("refill_cost")  # cycles a root refill takes
ROOT_REFILLS = _slot("root_refills")  # how many there were
CACHE_UNTIL = _slot("cache_until", host=True)  # cycle before which exits for CACHE by index are the core's to answer
CACHE_COST = _slot("cache_cost")  # cycles one takes
CACHE_EXITS = _slot("cache_exits")  # how many there were since the hypervisor asked last
# An access of a guest to a device in user space (cpu/vz/short_access.py).
SEND_UNTIL = _slot("send_until", host=True)  # cycle before which such an access is the core's to send and to finish
ACCOUNT = _slot("account", host=True)  # host address of its vCPU's account
PORT = _slot("port", host=True)  # the port its accesses leave by: its own number, or that of its vCPU
PUT_OFF = _slot("put_off", host=True)  # 1: the exit for a read is put off until the answer is there, 2: for a write
PUT_OFF_AT = _slot("put_off_at", host=True)  # cycle of that exit
ACCESS_ERROR = _slot("access_error")  # 1: the hypervisor's own access ended in a bus error
# Per root TLB entry: how many soft-MMU entries of guest contexts came through it, then their host addresses.
GUEST_FILL_ROOM = 32
GUEST_FILLS = _slot("guest_fills", (TLB_ENTRIES + FTLB_ENTRIES) * GUEST_FILL_ROOM, host=True)

NUMBER = _slot("number")  # which core this is
CPUCFG1 = _slot("cpucfg1")  # what the machine adds to CPUCFG word 1
CPUCFG2 = _slot("cpucfg2")  # and to word 2
UNMODELLED_RI = _slot("unmodelled_ri")  # 1: what is real but not modelled raises RI instead of a stop
STATE_ADDRESS = _slot("state_address", host=True)  # host address of this array

# Addresses of host memory, filled by cpu/core.py.
SOFTMMU = _slot("softmmu", host=True)  # the current context's table
CONTEXT = _slot("context", host=True)  # its number
CONTEXT_KEYS = _slot("context_keys", 16, host=True)  # whose translations each context holds, -1: free
CONTEXT_AGE = _slot("context_age", 16, host=True)
CONTEXT_CLOCK = _slot("context_clock", host=True)
SOFTMMU_BASE = _slot("softmmu_base", host=True)

# Statistics
IRQ_LOG = _slot("irq_log", 3 * 64)  # interrupts taken: cycle, pending and enabled IP bits, cycle the timer came due
IRQ_LOG_COUNT = _slot("irq_log_count")
IRQ_LOG_WANTED = _slot("irq_log_wanted", host=True)  # 1: somebody drains the log
MMIO_COUNT = _slot("mmio_count")
UNMODELLED_COUNT = _slot("unmodelled_count")  # how often it did
RANDOM = _slot("random")  # generator of CP0 Random, stepped by TLBWR

SIZE = _next
