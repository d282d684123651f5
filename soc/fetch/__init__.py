"""Guest material from outside: Debian packages, the initramfs made of them, and the cache that keeps both."""
