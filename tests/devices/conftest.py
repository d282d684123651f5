from devices.rig import rig

__all__ = ["rig"]
