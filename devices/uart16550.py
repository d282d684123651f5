"""The 16550A UART."""

from typing import Any

from devices.device import Device
from devices.errors import DeviceError
from devices.lines import LineIn, LineOut
from devices.registers import Internal, Register

IER_RDI, IER_THRI, IER_RLSI, IER_MSI = 1, 2, 4, 8
IIR_MODEM, IIR_NONE, IIR_THRE, IIR_DATA, IIR_LINE, IIR_TIMEOUT = 0x0, 0x1, 0x2, 0x4, 0x6, 0xC
IIR_ID, IIR_FIFO = 0x0F, 0xC0
FCR_ENABLE, FCR_RX_RESET, FCR_TX_RESET, FCR_KEPT = 0x01, 0x02, 0x04, 0xC9
LCR_DLAB = 0x80
MCR_LOOP = 0x10
LSR_DR, LSR_OE, LSR_PE, LSR_FE, LSR_BI, LSR_THRE, LSR_TEMT, LSR_FIFO_ERROR = 1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80
LSR_CHARACTER_ERRORS = LSR_PE | LSR_FE | LSR_BI
LSR_ERRORS = LSR_OE | LSR_CHARACTER_ERRORS
MSR_CTS, MSR_DSR, MSR_RI, MSR_DCD, MSR_DELTAS = 0x10, 0x20, 0x40, 0x80, 0x0F

FIFO_DEPTH = 16
TRIGGER_LEVELS = (1, 4, 8, 14)
TIMEOUT_CHARACTERS = 4
BYTES = [bytes([value]) for value in range(256)]


class Uart16550(Device):
    """A 16550A: FIFOs with trigger levels and character timeout, prioritised interrupts, loopback, modem status.

    clock_hz     input clock of the baud generator, 1 Hz and up; the default is that of the virtual platform's tree
    baud_timing  False: a character leaves as it is written, as software that polls wants it; True: it takes its time
                 on the line, through holding register or FIFO and shift register

    Characters leave by byte port "tx" and arrive complete at byte port "rx"; "break", "parity" and "framing" are for
    characters received with that error. All eight bits pass, whatever word length LCR sets: a bare program that never
    programs LCR still prints. Character time (for the timeout, and with `baud_timing`) does follow LCR and divisor; a
    divisor of 0 counts 65536. Modem inputs CTS, DSR and DCD are asserted unless driven; the modem outputs show in MCR
    and have no lines.

    Source: PC16550D data sheet; the THRE rules as Linux 6.1 drivers/tty/serial/8250/8250_port.c tests them. The divisor
    after reset, which the data sheet leaves open, is 12 as in QEMU.
    """

    size = 8

    rbr = Register(0, width=1, access="ro", doc="Received character; a read takes it.")
    thr = Register(0, width=1, access="wo", doc="Character to transmit.")
    dll = Register(0, width=1, bank="divisor", reset=12, doc="Divisor, low byte.")
    ier = Register(1, width=1, mask=0x0F, fields={"RDI": 0, "THRI": 1, "RLSI": 2, "MSI": 3}, doc="Interrupt enable.")
    dlm = Register(1, width=1, bank="divisor", doc="Divisor, high byte.")
    iir = Register(
        2,
        width=1,
        access="ro",
        reset=IIR_NONE,
        fields={"id": (3, 0), "fifo": (7, 6)},
        doc="A read that shows THRE clears it.",
    )
    fcr = Register(
        2,
        width=1,
        access="wo",
        fields={"enable": 0, "rx_reset": 1, "tx_reset": 2, "dma": 3, "trigger": (7, 6)},
        doc="FIFO control; without enable the other bits are not taken.",
    )
    lcr = Register(
        3, width=1, fields={"word": (1, 0), "stop": 2, "parity": (5, 3), "break": 6, "DLAB": 7}, doc="Line control."
    )
    mcr = Register(
        4, width=1, mask=0x1F, fields={"DTR": 0, "RTS": 1, "OUT1": 2, "OUT2": 3, "LOOP": 4}, doc="Modem control."
    )
    lsr = Register(
        5,
        width=1,
        access="ro",
        reset=LSR_THRE | LSR_TEMT,
        fields={"DR": 0, "OE": 1, "PE": 2, "FE": 3, "BI": 4, "THRE": 5, "TEMT": 6, "FIFO": 7},
        doc="Line status; a read clears the errors.",
    )
    msr = Register(
        6,
        width=1,
        access="ro",
        reset=MSR_CTS | MSR_DSR | MSR_DCD,
        fields={"DCTS": 0, "DDSR": 1, "TERI": 2, "DDCD": 3, "CTS": 4, "DSR": 5, "RI": 6, "DCD": 7},
        doc="Modem status; a read clears the changes.",
    )
    scr = Register(7, width=1, doc="Scratch.")

    rx = Internal([])
    """Characters received and not read; bits 8 and up are their error bits as in LSR."""
    tx = Internal([])
    shift = Internal(None)
    thre_pending = Internal(False)
    timeout_pending = Internal(False)

    irq = LineOut("Interrupt.")
    cts = LineIn("Clear to send.", initial=1)
    dsr = LineIn("Data set ready.", initial=1)
    ri = LineIn("Ring indicator.")
    dcd = LineIn("Carrier detect.", initial=1)

    def __init__(self, *, clock_hz: int = 33_000_000, baud_timing: bool = False, **options: Any) -> None:
        if clock_hz < 1:
            raise DeviceError(f"clock_hz {clock_hz}: the UART's input clock in Hz, 1 and up")
        self.clock_hz = clock_hz
        self.baud_timing = baud_timing
        super().__init__(**options)

    def on_reset(self) -> None:
        self.msr = self._modem_levels()

    @property
    def character_ps(self) -> int:
        """Time of one character on the line in picoseconds."""
        data = 5 + (self.lcr & 3)
        stop_halves = 2 if not self.lcr & 4 else 3 if data == 5 else 4
        halves = 2 * (1 + data + (self.lcr >> 3 & 1)) + stop_halves
        divisor = self.dlm << 8 | self.dll or 1 << 16
        return halves * 8 * divisor * 10**12 // self.clock_hz

    def on_write_thr(self, value: int, old: int) -> None:
        if not self.baud_timing:
            self._send(value)
            self.thre_pending = True
        elif self.shift is None:
            self.shift = value
            self.lsr &= ~LSR_TEMT
            self.thre_pending = True
            self.after(self.character_ps, "tx")
        else:
            self.lsr &= ~LSR_THRE
            self.thre_pending = False
            if not self.fcr & FCR_ENABLE:
                self.tx = [value]
            elif len(self.tx) < FIFO_DEPTH:
                self.tx.append(value)

    def on_timer_tx(self) -> None:
        self._send(self.shift)
        if self.tx:
            self.shift = self.tx.pop(0)
            if not self.tx:
                self._transmitter_empty()
            self.after(self.character_ps, "tx")
        else:
            self.shift = None
            self.lsr |= LSR_TEMT

    def _transmitter_empty(self) -> None:
        self.lsr |= LSR_THRE
        self.thre_pending = True

    def _send(self, value: int) -> None:
        if self.mcr & MCR_LOOP:
            self._arrive(value, 0)
        else:
            self.outside.output("tx", BYTES[value])

    def on_receive_rx(self, data: bytes) -> None:
        self._from_line(data, 0)

    def on_receive_break(self, data: bytes) -> None:
        self._from_line(data or b"\0", LSR_BI | LSR_FE)

    def on_receive_parity(self, data: bytes) -> None:
        self._from_line(data, LSR_PE)

    def on_receive_framing(self, data: bytes) -> None:
        self._from_line(data, LSR_FE)

    def _from_line(self, data: bytes, errors: int) -> None:
        if not self.mcr & MCR_LOOP:
            for value in data:
                self._arrive(value, errors)

    def _arrive(self, value: int, errors: int) -> None:
        """A character is complete in the receiver's shift register."""
        if self.fcr & FCR_ENABLE:
            if len(self.rx) == FIFO_DEPTH:
                self.lsr |= LSR_OE
            else:
                self.rx.append(errors << 8 | value)
            self.after(TIMEOUT_CHARACTERS * self.character_ps, "timeout")
        else:
            if self.rx:
                self.lsr |= LSR_OE
            self.rx = [errors << 8 | value]
        self._show_first()

    def _show_first(self) -> None:
        """LSR tells of the character that the next read of RBR will give."""
        if not self.rx:
            self.lsr &= ~LSR_DR
        else:
            self.lsr |= LSR_DR | self.rx[0] >> 8
            self.rx[0] &= 0xFF
        self._show_fifo_error()

    def _show_fifo_error(self) -> None:
        errors = self.lsr & LSR_CHARACTER_ERRORS or any(entry > 0xFF for entry in self.rx)
        if errors and self.fcr & FCR_ENABLE:
            self.lsr |= LSR_FIFO_ERROR
        else:
            self.lsr &= ~LSR_FIFO_ERROR

    def on_read_rbr(self) -> int:
        if self.rx:
            self.rbr = self.rx.pop(0)
            self._show_first()
        elif self.fcr & FCR_ENABLE:
            self.rbr = 0
        if self.fcr & FCR_ENABLE:
            self.timeout_pending = False
            if self.rx:
                self.after(TIMEOUT_CHARACTERS * self.character_ps, "timeout")
            else:
                self.cancel("timeout")
        return self.rbr

    def on_timer_timeout(self) -> None:
        self.timeout_pending = bool(self.rx)

    def on_read_iir(self) -> int:
        value = self.iir
        if value & IIR_ID == IIR_THRE:
            self.thre_pending = False
        return value

    def on_read_lsr(self) -> int:
        value = self.lsr
        if value & LSR_ERRORS:
            self.lsr &= ~LSR_ERRORS
            self._show_fifo_error()
        return value

    def on_read_msr(self) -> int:
        value = self.msr
        self.msr &= ~MSR_DELTAS
        return value

    def on_write_ier(self, value: int, old: int) -> None:
        if (value ^ old) & IER_THRI:
            self.thre_pending = bool(value & IER_THRI and self.lsr & LSR_THRE)

    def on_write_fcr(self, value: int, old: int) -> None:
        if (value ^ old) & FCR_ENABLE:
            value |= FCR_RX_RESET | FCR_TX_RESET
        elif not value & FCR_ENABLE:
            value = 0
        self.fcr = value & FCR_KEPT if value & FCR_ENABLE else 0
        if value & FCR_RX_RESET:
            self.rx = []
            self.lsr &= ~LSR_CHARACTER_ERRORS
            self._show_first()
            self.timeout_pending = False
            self.cancel("timeout")
        if value & FCR_TX_RESET and self.tx:
            self.tx = []
            self._transmitter_empty()

    def on_write_lcr(self, value: int, old: int) -> None:
        self.select_bank("divisor" if value & LCR_DLAB else None)

    def on_write_mcr(self, value: int, old: int) -> None:
        self._modem_changed()

    def on_line_cts(self, index: int, level: int) -> None:
        self._modem_changed()

    on_line_dsr = on_line_ri = on_line_dcd = on_line_cts

    def _modem_levels(self) -> int:
        mcr = self.mcr
        if mcr & MCR_LOOP:
            # RTS comes back as CTS, DTR as DSR, OUT1 as RI, OUT2 as DCD.
            return (mcr & 2) << 3 | (mcr & 1) << 5 | (mcr & 4) << 4 | (mcr & 8) << 4
        return self.cts.level << 4 | self.dsr.level << 5 | self.ri.level << 6 | self.dcd.level << 7

    def _modem_changed(self) -> None:
        levels, before = self._modem_levels(), self.msr & ~MSR_DELTAS
        # RI reports its trailing edge only.
        changed = (levels ^ before) & ~(levels & MSR_RI)
        self.msr = levels | self.msr & MSR_DELTAS | changed >> 4

    @property
    def trigger(self) -> int:
        """Characters that raise the received-data interrupt."""
        return TRIGGER_LEVELS[self.fcr >> 6] if self.fcr & FCR_ENABLE else 1

    def settle(self) -> None:
        """The interrupt of highest priority among the enabled ones."""
        ier = self.ier
        if not ier:
            cause = IIR_NONE
        elif ier & IER_RLSI and self.lsr & LSR_ERRORS:
            cause = IIR_LINE
        elif ier & IER_RDI and self.timeout_pending:
            cause = IIR_TIMEOUT
        elif ier & IER_RDI and len(self.rx) >= self.trigger:
            cause = IIR_DATA
        elif ier & IER_THRI and self.thre_pending:
            cause = IIR_THRE
        elif ier & IER_MSI and self.msr & MSR_DELTAS:
            cause = IIR_MODEM
        else:
            cause = IIR_NONE
        self.iir = cause | IIR_FIFO if self.fcr & FCR_ENABLE else cause
        self.irq.level = cause != IIR_NONE
