"""The bits of a mask, by number."""


def lowest(mask: int) -> int:
    """Number of the lowest bit set in `mask`, which is not 0."""
    return (mask & -mask).bit_length() - 1


def bits(mask: int) -> list[int]:
    """Numbers of the bits set in `mask`, lowest first."""
    found = []
    while mask:
        rest = mask & mask - 1
        found.append((mask ^ rest).bit_length() - 1)
        mask = rest
    return found
