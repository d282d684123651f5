"""Speed, measured in interleaved rounds: programs, operations of a kernel, boots and many cores, beside QEMU."""
