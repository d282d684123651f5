"""The 16550A. Facts: PC16550D data sheet (section in brackets), and what Linux 6.1's 8250 driver tests and needs."""

import pytest

IER_RDI, IER_THRI, IER_RLSI, IER_MSI = 1, 2, 4, 8
NONE, MODEM, THRE, DATA, LINE, TIMEOUT = 0x1, 0x0, 0x2, 0x4, 0x6, 0xC
FIFO = 0xC1
DR, OE, PE, FE, BI, IDLE, FIFO_ERROR = 1, 2, 4, 8, 0x10, 0x60, 0x80
LOOP = 0x10
CLOCK = 1_843_200
CHARACTER_PS = 10 * 16 * 12 * 10**12 // CLOCK  # divisor 12 (9600 baud), eight bits, no parity, one stop bit


@pytest.fixture
def uart(rig):
    device = rig.device("uart16550", clock_hz=CLOCK)
    device.lcr = 3
    return device


@pytest.fixture
def slow(rig):
    device = rig.device("uart16550", clock_hz=CLOCK, baud_timing=True)
    device.lcr = 3
    return device


def test_reset_state_lets_an_early_console_print_at_once(rig):
    """LSR 0x60, or each early character costs 1024 polls; MSR 0xb0; IIR without FIFO 0x01 [table III]."""
    uart = rig.device("uart16550")
    assert (uart.lsr, uart.msr, uart.iir, uart.ier, uart.lcr, uart.mcr, uart.scr) == (0x60, 0xB0, 1, 0, 0, 0, 0)
    uart.thr = ord("A")
    assert rig.outputs["tx"] == b"A"
    assert uart.lsr == 0x60


def test_all_eight_bits_pass_before_lcr_is_programmed(rig):
    """A bare program that never sets the word length still prints."""
    rig.device("uart16550").thr = 0xE4
    assert rig.outputs["tx"] == b"\xe4"


def test_ier_has_four_bits(uart):
    """A writable bit 6 is taken for an XScale UART."""
    uart.ier = 0xFF
    assert uart.ier == 0x0F


def test_iir_names_a_16550a_once_the_fifo_is_on(uart):
    assert uart.iir == 0x01
    uart.fcr = 1
    assert uart.iir == 0xC1
    uart.fcr = 0
    assert uart.iir == 0x01


@pytest.mark.parametrize("lcr", [0x80, 0xBF])
def test_dlab_moves_offsets_0_and_1_only(uart, lcr):
    """With LCR 0xbf offset 2 must still be IIR, or the driver looks for a 16650."""
    uart.ier = IER_RDI
    uart.fcr = 1
    uart.lcr = lcr
    uart.write(0, 1, 0x12)
    uart.write(1, 1, 0x34)
    assert (uart.read(0, 1), uart.read(1, 1), uart.read(2, 1)) == (0x12, 0x34, FIFO)
    uart.lcr = 3
    assert (uart.model.dll, uart.model.dlm, uart.ier) == (0x12, 0x34, IER_RDI)


def test_scratch_holds_a_byte_and_nothing_else_changes(uart):
    before = uart.model.state
    uart.scr = 0x5A
    assert uart.model.state == {**before, "scr": 0x5A}


def test_enabling_thri_while_empty_interrupts_and_reading_iir_takes_it_back(uart, rig):
    """The driver tests this twice at open; a UART that fails gets its slow "THRE bug" path."""
    uart.fcr = 1
    for _ in range(2):
        uart.ier = IER_THRI
        assert rig.irq.level == 1
        assert uart.iir == 0xC0 | THRE
        assert (uart.iir, rig.irq.level) == (FIFO, 0)
        uart.ier = 0


def test_rewriting_ier_with_thri_still_set_does_not_interrupt_again(uart, rig):
    uart.ier = IER_THRI
    assert uart.iir == THRE
    uart.ier = IER_THRI | IER_RDI
    assert (uart.iir, rig.irq.level) == (NONE, 0)


def test_a_character_written_raises_thre_again(uart, rig):
    uart.ier = IER_THRI
    assert uart.iir == THRE
    uart.thr = 1
    assert (uart.iir, uart.iir) == (THRE, NONE)


def test_reading_iir_that_shows_something_else_keeps_thre_pending(uart, rig):
    uart.ier = IER_RDI | IER_THRI
    rig.send("rx", b"x")
    assert uart.iir == DATA
    assert uart.rbr == ord("x")
    assert (uart.iir, uart.iir) == (THRE, NONE)


def test_received_characters_come_out_in_order(uart, rig):
    uart.fcr = 1
    rig.send("rx", b"abc")
    assert [uart.rbr for _ in range(3)] == [97, 98, 99]
    assert (uart.lsr, uart.rbr) == (IDLE, 0)


@pytest.mark.parametrize("bits, level", [(0, 1), (1, 4), (2, 8), (3, 14)])
def test_trigger_levels(uart, rig, bits, level):
    """[FCR bits 6, 7]"""
    uart.fcr = 1 | bits << 6
    uart.ier = IER_RDI
    rig.send("rx", bytes(level - 1))
    assert rig.irq.level == 0
    rig.send("rx", b"!")
    assert (rig.irq.level, uart.iir) == (1, 0xC0 | DATA)
    assert uart.rbr == (0 if level > 1 else ord("!"))
    assert rig.irq.level == 0


def test_character_timeout_after_four_character_times_without_traffic(uart, rig):
    """[FIFO interrupt mode operation]: restarted by each character and by each read; taken back by a read."""
    uart.fcr = 0x81
    uart.ier = IER_RDI
    rig.send("rx", b"ab")
    rig.advance(3 * CHARACTER_PS)
    rig.send("rx", b"c")
    rig.advance(4 * CHARACTER_PS - 1)
    assert rig.irq.level == 0
    rig.advance(1)
    assert (rig.irq.level, uart.iir) == (1, 0xC0 | TIMEOUT)
    assert uart.rbr == ord("a")
    assert (rig.irq.level, uart.iir) == (0, FIFO)
    rig.advance(4 * CHARACTER_PS)
    assert uart.iir == 0xC0 | TIMEOUT
    assert [uart.rbr, uart.rbr] == [98, 99]
    rig.advance(100 * CHARACTER_PS)
    assert rig.irq.level == 0


@pytest.mark.parametrize("lcr, bits", [(0, 7), (3, 10), (4, 7.5), (7, 11), (0x1F, 12), (0x0B, 11)])
def test_character_time_follows_line_control_and_divisor(uart, lcr, bits):
    """Start bit, 5 to 8 data bits, parity, 1, 1.5 (with 5 data bits) or 2 stop bits [LCR]."""
    uart.lcr = lcr
    assert uart.model.character_ps == int(bits * 16 * 12 * 10**12 / CLOCK)


def test_overrun_with_fifo_keeps_the_fifo_and_drops_the_newcomer(uart, rig):
    uart.fcr = 1
    uart.ier = IER_RLSI
    rig.send("rx", bytes(range(16)))
    assert rig.irq.level == 0
    rig.send("rx", b"\xff")
    assert (rig.irq.level, uart.iir) == (1, 0xC0 | LINE)
    assert uart.lsr == IDLE | DR | OE
    assert (uart.lsr, rig.irq.level) == (IDLE | DR, 0)
    assert [uart.rbr for _ in range(16)] == list(range(16))


def test_overrun_without_fifo_keeps_the_newcomer(uart, rig):
    rig.send("rx", b"ab")
    assert uart.lsr == IDLE | DR | OE
    assert uart.rbr == ord("b")
    assert uart.lsr == IDLE


def test_a_break_shows_when_it_is_first_in_line(uart, rig):
    """[LSR note, bit 7]: errors belong to their character; bit 7 tells of one anywhere in the FIFO."""
    uart.fcr = 1
    rig.send("rx", b"a")
    rig.send("break", b"")
    rig.send("parity", b"p")
    assert uart.lsr == IDLE | DR | FIFO_ERROR
    assert uart.rbr == ord("a")
    assert uart.lsr == IDLE | DR | BI | FE | FIFO_ERROR
    assert uart.lsr == IDLE | DR | FIFO_ERROR
    assert uart.rbr == 0
    assert uart.lsr == IDLE | DR | PE | FIFO_ERROR
    assert uart.lsr == IDLE | DR


def test_line_status_comes_before_data_before_thre_before_modem(uart, rig):
    """[table V]: interrupt priorities."""
    uart.ier = 0x0F
    rig.cts.level = 0
    rig.send("framing", b"x")
    seen = [uart.iir]
    assert uart.lsr & FE
    seen.append(uart.iir)
    assert uart.rbr == ord("x")
    seen += [uart.iir, uart.iir]
    assert uart.msr == 0xA1
    seen.append(uart.iir)
    assert seen == [LINE, DATA, THRE, MODEM, NONE]
    assert rig.irq.edges == [(0, 1), (0, 0)]


def test_fcr_resets(uart, rig):
    uart.fcr = 1
    rig.send("rx", b"abc")
    uart.fcr = 0x03
    assert uart.lsr == IDLE
    rig.send("rx", b"d")
    uart.fcr = 0
    assert (uart.lsr, uart.iir) == (IDLE, NONE)
    rig.send("rx", b"e")
    uart.fcr = 0x06
    assert uart.lsr == IDLE | DR, "without the enable bit nothing else of FCR is taken"
    rig.send("rx", b"f")
    uart.fcr = 1
    assert uart.lsr & DR == 0, "turning the FIFO on or off empties it"


def test_modem_lines_and_their_changes(uart, rig):
    """[MSR]: CTS, DSR and DCD report any change, RI its trailing edge."""
    uart.ier = IER_MSI
    rig.ri.level = 1
    assert (rig.irq.level, uart.msr) == (0, 0xF0)
    rig.ri.level = 0
    assert (rig.irq.level, uart.iir, uart.msr) == (1, MODEM, 0xB4)
    assert (rig.irq.level, uart.msr) == (0, 0xB0)
    rig.dcd.level = 0
    rig.dsr.level = 0
    assert uart.msr == 0x1A
    assert uart.msr == 0x10


def test_loopback_ties_outputs_to_inputs(uart, rig):
    """[MCR bit 4]"""
    uart.mcr = LOOP
    assert uart.msr == 0x0B, "the inputs fall as they are disconnected"
    for mcr, msr in ((0x1, 0x20), (0x2, 0x10), (0x4, 0x40), (0x8, 0x80)):
        uart.mcr = LOOP | mcr
        assert uart.msr & 0xF0 == msr
    uart.thr = 0x77
    assert rig.outputs == {}
    assert uart.rbr == 0x77
    rig.send("rx", b"z")
    assert uart.lsr == IDLE, "the receiver is disconnected from its pin"


def test_only_byte_accesses_are_decoded(uart):
    for size in (2, 4, 8):
        assert uart.read(0, size) == 0
        uart.write(0, size, 0x41)
    assert uart.model.outside.outputs == {}
    assert uart.read(8, 1) == 0


def test_baud_timing_sends_each_character_after_its_time(slow, rig):
    """Holding register and shift register [THR, LSR bits 5, 6]."""
    slow.thr = ord("a")
    assert slow.lsr == IDLE & ~0x40, "moved on to the shift register: THRE, not TEMT"
    slow.thr = ord("b")
    assert slow.lsr == 0
    slow.thr = ord("c")
    rig.advance(CHARACTER_PS - 1)
    assert rig.outputs == {}
    rig.advance(1)
    assert (rig.outputs["tx"], slow.lsr) == (b"a", 0x20)
    rig.advance(CHARACTER_PS)
    assert (rig.outputs["tx"], slow.lsr) == (b"ac", IDLE), "the holding register has room for one"


def test_baud_timing_interrupts_when_the_fifo_has_run_empty(slow, rig):
    slow.fcr = 1
    slow.ier = IER_THRI
    assert slow.iir == 0xC0 | THRE
    for value in range(20):
        slow.thr = value
    rig.advance(16 * CHARACTER_PS - 1)
    assert rig.irq.level == 0
    rig.advance(1)
    assert (rig.irq.level, slow.lsr) == (1, 0x20)
    rig.advance(100 * CHARACTER_PS)
    assert rig.outputs["tx"] == bytes(range(17)), "one in the shift register, 16 in the FIFO, the rest is lost"
    times = [time for time, kind, _, _ in rig.outside.events if kind == "output"]
    assert times == [CHARACTER_PS * n for n in range(1, 18)]


def test_enabling_thri_while_busy_waits_for_the_holding_register(slow, rig):
    slow.thr = 1
    slow.thr = 2
    slow.ier = IER_THRI
    assert rig.irq.level == 0
    rig.advance(CHARACTER_PS)
    assert rig.irq.level == 1


def test_clearing_a_full_transmit_fifo_interrupts(slow, rig):
    slow.fcr = 1
    slow.ier = IER_THRI
    for value in range(4):
        slow.thr = value
    assert rig.irq.level == 0
    slow.fcr = 0x05
    assert slow.iir == 0xC0 | THRE
    rig.advance(100 * CHARACTER_PS)
    assert rig.outputs["tx"] == b"\0", "the character in the shift register is sent to its end"


def test_a_line_status_read_stays_cheap(uart):
    """An early boot polls LSR thousands of times; the read must not grow into a walk over the registers."""
    import sys

    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        uart.model.read(5, 1)
    finally:
        sys.setprofile(None)
    assert calls <= 5
