"""File types told by their first bytes, to say what was sent instead of a photo."""

_PREFIXES = (
    (b"GIF8", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "BigTIFF"),
    (b"MM\0+", "BigTIFF"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"8BPS", "Photoshop document"),
    (b"\0\0\1\0", "icon"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"v/1\x01", "OpenEXR"),
    (b"PK\3\4", "ZIP archive"),
    (b"\x1f\x8b", "gzip archive"),
    (b"\x1aE\xdf\xa3", "Matroska video"),
    (b"RIFF", "RIFF file that is not WebP"),
)
_BRANDS = {
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"hevc": "HEIC",
    b"heim": "HEIC",
    b"mif1": "HEIF",
    b"msf1": "HEIF",
}
_SAMPLE = 512

CONTROL_BYTES = frozenset(range(32)) - frozenset(b"\t\n\r\f")


def name_of(data: bytes) -> str:
    """Name the type of a file that is none of the accepted formats, for a human reader."""
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "MP4-like video")
    for prefix, name in _PREFIXES:
        if data.startswith(prefix):
            return name
    return _text_name(data[:_SAMPLE])


def _text_name(sample: bytes) -> str:
    start = sample.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<svg", b"<?xml")):
        return "SVG or XML"
    if start.startswith((b"<!doctype html", b"<html")):
        return "HTML page"
    has_control = any(byte in CONTROL_BYTES for byte in sample)
    return "text" if _is_utf8(sample) and not has_control else "unknown file type"


def _is_utf8(sample: bytes) -> bool:
    try:
        sample.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(sample) - 4 and len(sample) == _SAMPLE
    return True
