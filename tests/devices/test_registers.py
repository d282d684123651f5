"""The access rules of devices/registers.py, on a device made for it. Every device there is: tests/kit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.device import Device
from devices.lines import LineOut
from devices.registers import Internal, Register, RegisterArray, RegisterError, markdown
from tests.devices.revive import powered


class Sample(Device):
    plain = Register(0x00, reset=0x1234, accepts=(1, 2, 4, 8), doc="All bits.")
    masked = Register(0x04, mask=0x00FF00FF, reset=0xAA000000, accepts=(1, 2, 4, 8))
    status = Register(0x08, access="ro", reset=0xF0)
    raise_ = Register(0x0C, access="w1s", of=status)
    lower = Register(0x10, access="w1c", of=status)
    sticky = Register(0x14, access="w1c", reset=0xFF, mask=0x0F)
    grid = RegisterArray(0x20, count=(2, 3), stride=(0x10, 4), width=2, accepts=(1, 2, 4))
    read_side = Register(0x40, width=1, access="ro", reset=7)
    write_side = Register(0x40, width=1, access="wo")
    low = Register(0x41, width=1, bank="other", reset=0x55)
    high = Register(0x41, width=1, reset=0x66)
    private = Register(0x08, width=4, space="csr", access="ro")

    log = Internal([])
    irq = LineOut()

    def on_write_plain(self, value, old):
        self.log.append((value, old))

    def on_write_raise_(self, value, old):
        self.log.append((value, old))

    def on_write_grid(self, index, value, old):
        self.log.append((index, value, old))

    def on_read_private(self):
        return self.core + 0x100

    def settle(self):
        self.irq.level = self.status & 1


@pytest.fixture
def sample(rig):
    return rig.device(Sample)


def test_handlers_get_the_new_and_the_former_value(sample):
    sample.plain = 0xCAFE
    sample.write(2, 1, 0xFF)
    sample.raise_ = 0x0F
    sample.grid[4] = 9
    assert sample.model.log == [(0xCAFE, 0x1234), (0xFFCAFE, 0xCAFE), (0x0F, 0xF0), (4, 9, 0)]


def test_masked_bits_keep_their_reset_value(sample):
    sample.masked = 0xFFFFFFFF
    assert sample.masked == 0xAAFF00FF
    sample.masked = 0
    assert sample.masked == 0xAA000000


def test_set_and_clear_registers_change_their_target_and_read_0(sample, rig):
    sample.status = 0
    assert sample.status == 0xF0
    sample.raise_ = 0x01
    assert (sample.status, sample.raise_, rig.irq.level) == (0xF1, 0, 1)
    sample.lower = 0xF1
    assert (sample.status, sample.lower, rig.irq.level) == (0, 0, 0)
    assert rig.irq.edges == [(0, 1), (0, 0)]


def test_w1c_register_clears_its_own_bits_within_the_mask(sample):
    sample.sticky = 0xF3
    assert sample.sticky == 0xFC


def test_wide_access_reaches_both_neighbours(sample):
    sample.write(0, 8, 0xFFFFFFFF_11223344)
    assert (sample.plain, sample.masked) == (0x11223344, 0xAAFF00FF)
    assert sample.read(0, 8) == 0xAAFF00FF_11223344


def test_array_elements_lie_where_the_strides_say(sample):
    for index in range(6):
        sample.grid[index] = 0x100 + index
    assert [sample.read(offset, 2) for offset in (0x20, 0x24, 0x28, 0x30, 0x34, 0x38)] == [0x100 + i for i in range(6)]
    assert sample.read(0x20, 4) == 0x100, "the hole next to an element reads 0"


def test_a_read_only_and_a_write_only_register_share_an_offset(sample):
    sample.write(0x40, 1, 0x99)
    assert sample.read(0x40, 1) == 7
    assert sample.model.write_side == 0x99


def test_the_selected_bank_hides_what_lies_below(sample):
    assert sample.read(0x41, 1) == 0x66
    sample.model.select_bank("other")
    assert sample.read(0x41, 1) == 0x55
    assert sample.read(0x40, 1) == 7


def test_the_bank_is_part_of_the_saved_state(sample):
    sample.model.select_bank("other")
    saved = sample.model.save()
    sample.model.select_bank(None)
    sample.model.restore(saved)
    assert sample.read(0x41, 1) == 0x55


def test_spaces_are_apart_and_know_the_core(sample):
    assert sample.read(0x08, 4) == 0xF0
    assert sample.read(0x08, 4, core=3, space="csr") == 0x103
    assert sample.read(0x08, 4, space="elsewhere") == 0


@pytest.mark.parametrize("offset, size", [(0x08, 8), (0x08, 1), (0x0A, 2), (0x02, 4), (0x100, 4), (0x18, 4), (1, 2)])
def test_what_is_not_decoded_reads_0_and_is_dropped(sample, offset, size, caplog):
    before = sample.model.save()
    assert sample.read(offset, size) == 0
    assert sample.read(offset, size) == 0
    sample.write(offset, size, ~0)
    assert sample.model.save() == before
    assert sample.model.undecoded == {("read", "memory", offset, size): 2, ("write", "memory", offset, size): 1}
    assert len(caplog.records) == 2, "each kind is logged once"


@pytest.mark.parametrize(
    "declare, reason",
    [
        (lambda: Register(2), "multiple of the width"),
        (lambda: Register(0, width=3), "1, 2, 4 or 8"),
        (lambda: Register(0, access="rx"), "use one of"),
        (lambda: Register(0, width=1, reset=0x100), "8 bits"),
        (lambda: Register(0, accepts=(16,)), "access sizes"),
        (lambda: Register(4, access="rw", of=Register(0)), "w1c or w1s"),
        (lambda: Register(4, access="w1c", of=RegisterArray(0, count=2)), "same shape"),
        (lambda: RegisterArray(0, count=(2, 2), stride=4), "one stride per count"),
        (lambda: type("D", (Device,), {"a": Register(0), "b": Register(0)})(), "both answer at 0x0"),
        (lambda: type("D", (Device,), {"on_write_a": lambda self, value, old: None})(), "no such register"),
        (lambda: type("D", (Device,), {"a": Register(0, access="ro"), "on_write_a": print})(), "the register is ro"),
    ],
)
def test_a_wrong_declaration_is_refused(declare, reason):
    with pytest.raises(RegisterError, match=reason):
        declare()


class Variant(Sample):
    plain = Internal(0)
    status = Register(0x08, access="ro", reset=0xF0, accepts=(2, 4))
    sticky = Register(0x14, access="w1c", reset=0xFF, accepts=(1, 2, 4), writes=(4,))
    words = RegisterArray(0x18, count=2, width=1, resets=(7, 9))

    on_write_plain = None


def test_a_subclass_can_declare_again_and_take_an_address_away(rig):
    variant = rig.device(Variant)
    variant.write(0x00, 4, 5)
    assert (variant.model.plain, variant.read(0x00, 4)) == (0, 0)
    assert (variant.read(0x08, 2), [*variant.words]) == (0xF0, [7, 9])
    variant.write(0x14, 1, 0xFF)
    assert variant.read(0x14, 1) == 0xFF
    variant.sticky = 0xFF
    assert variant.read(0x14, 1) == 0
    assert "| 0x14 | sticky | w1c | 0xff | 1/2/4, writes 4 |" in markdown(Variant)
    assert "| words | rw | per element |" in markdown(Variant)


def test_resets_must_fit_the_array():
    with pytest.raises(RegisterError, match="resets must be 2 values of 1 bytes"):
        RegisterArray(0, count=2, width=1, resets=(1, 256))


def test_the_table_for_the_handbook_has_every_register():
    table = markdown(Sample)
    assert "| 0x00 | plain | rw | 0x1234 | 1/2/4/8 | All bits. |" in table
    assert "| 0x20 + 0x10\u00b7i (i=0..1) + 0x4\u00b7j (j=0..2) | grid | rw | 0x0 | 1/2/4 |" in table
    assert "| 0x0c | raise_ | w1s of status | \u2013 | 4 |" in table
    assert "| csr 0x08 | private | ro |" in table


@given(data=st.data())
def test_byte_lanes_of_any_access_agree_with_a_byte_model(data):
    """Plain storage seen as bytes: an access of any accepted size equals the same bytes one by one."""
    device = powered(Sample)
    model = bytearray(device.read(offset, 1) for offset in range(8))
    writable = [0xFF] * 4 + [0xFF, 0, 0xFF, 0]
    for _ in range(data.draw(st.integers(0, 12))):
        size = data.draw(st.sampled_from((1, 2, 4, 8)))
        offset = data.draw(st.integers(0, 8 // size - 1)) * size
        value = data.draw(st.integers(0, (1 << 8 * size) - 1))
        device.write(offset, size, value)
        for lane, byte in enumerate(value.to_bytes(size, "little"), offset):
            model[lane] = model[lane] & ~writable[lane] | byte & writable[lane]
        for size in (1, 2, 4, 8):
            for offset in range(0, 8, size):
                assert device.read(offset, size) == int.from_bytes(model[offset : offset + size], "little")
