"""Speed, measured side by side with QEMU in one interleaved run: a bare program and the boot of Debian's kernel."""
