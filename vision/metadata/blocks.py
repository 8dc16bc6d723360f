"""Metadata blocks, as they lie in any file."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Blocks:
    """`exif` from its TIFF header on, `icc` a colour profile; empty where there is none."""

    exif: bytes = b""
    icc: bytes = b""
