"""What can be at the other end of a virtio-net cable: functions from a frame to the frames that answer it."""

from __future__ import annotations

import struct

MAC = bytes.fromhex("525400000202")
ADDRESS = bytes((10, 0, 2, 2))
_ARP, _IPV4, _ICMP = b"\x08\x06", b"\x08\x00", 1


def loopback(frame: bytes) -> list[bytes]:
    """The frame itself."""
    return [frame]


def nothing(frame: bytes) -> list[bytes]:
    """No answer: an open cable."""
    return []


def echo(frame: bytes) -> list[bytes]:
    """A host at 10.0.2.2 that answers ARP and ICMP echo requests (RFC 826, RFC 792) and nothing else."""
    if frame[12:14] == _ARP and len(frame) >= 42:
        return _arp(frame)
    if frame[12:14] == _IPV4 and len(frame) >= 34:
        return _ping(frame)
    return []


def _arp(frame: bytes) -> list[bytes]:
    if frame[14:22] != b"\0\1\x08\0\6\4\0\1" or frame[38:42] != ADDRESS:
        return []
    sender = frame[22:32]
    return [sender[:6] + MAC + _ARP + b"\0\1\x08\0\6\4\0\2" + MAC + ADDRESS + sender]


def _ping(frame: bytes) -> list[bytes]:
    header = 4 * (frame[14] & 15)
    total = int.from_bytes(frame[16:18], "big")
    packet = frame[14 : 14 + total]
    message = packet[header:]
    if header < 20 or len(packet) != total or packet[9] != _ICMP or packet[16:20] != ADDRESS or len(message) < 8:
        return []
    if message[0] != 8:
        return []
    reply = bytearray(b"\0\0\0\0" + message[4:])
    reply[2:4] = _checksum(reply)
    answer = bytearray(packet[:header])
    answer[12:16], answer[16:20] = packet[16:20], packet[12:16]
    answer[10:12] = b"\0\0"
    answer[10:12] = _checksum(answer)
    return [frame[6:12] + frame[:6] + _IPV4 + bytes(answer) + bytes(reply)]


def _checksum(data: bytes) -> bytes:
    if len(data) % 2:
        data = bytes(data) + b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")


PEERS = {"echo": echo, "loopback": loopback, "none": nothing}
