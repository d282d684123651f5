"""What real firmware would have put into memory before the first instruction: images, tables, ROM, initrd."""
