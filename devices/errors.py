"""Misuse of a device by the host. A guest's access never raises one of these, unless the device is strict."""

from soc.errors import SocError


class DeviceError(SocError):
    """A device was misused: an unknown port or timer, a snapshot that does not fit, an access before `attach`."""


class UnknownDevice(DeviceError):
    """No device class has this name, or there is no such module, file or class."""


class UndecodedAccess(DeviceError):
    """A guest access that the device does not decode, in strict mode."""
