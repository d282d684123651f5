"""virtio 1.x devices on PCI: the transport, split virtqueues, and the device types."""
