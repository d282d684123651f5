"""The processor: instruction set, CP0, TLB, engine. Imports only the ground floor of `soc`."""
