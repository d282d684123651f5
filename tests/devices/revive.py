"""A save point in the middle of a test, and how long the random tests run."""

import os

import msgpack

from devices.fake import FakeOutside

EXAMPLES = int(os.environ.get("DEVICE_EXAMPLES", "30"))
"""Examples per property and state machine; DEVICE_EXAMPLES=2000 is the long run."""


def revive(device, **options):
    """A new device of the same class in the state of `device`, which went through msgpack, with its outside."""
    saved = msgpack.unpackb(msgpack.packb(device.save()))
    old, new = device.outside, type(device)(**options)
    outside = FakeOutside(new)
    outside.now, outside.levels, outside.events = old.now, dict(old.levels), list(old.events)
    new.restore(saved)
    assert new.save() == device.save()
    return new


def powered(cls, **options):
    """A device alone, reset."""
    device = cls(**options)
    FakeOutside(device)
    device.reset()
    return device


def left(device, kind, port=None):
    """What left the device since the last call: (port, value) of a kind. Forgets all that left."""
    found = [(p, value) for _, k, p, value in device.outside.events if k == kind and port in (None, p)]
    device.outside.events = []
    return found
