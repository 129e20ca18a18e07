"""CRC-32C (Castagnoli), which zlib does not have."""

POLYNOMIAL = 0x82F63B78
ONES = 0xFFFFFFFF


def _entry(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (POLYNOMIAL if byte & 1 else 0)
    return byte


TABLE = tuple(_entry(byte) for byte in range(256))


def crc32c(data: bytes) -> int:
    """The checksum of some bytes; a secret has 64 KiB at most, so this need not be quick."""
    crc = ONES
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ ONES
