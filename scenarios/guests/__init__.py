"""Bare-metal guests, in the assembler's language; `scenarios.library.guest` assembles them."""
