"""The demo's page: plain HTML beside the pictures."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from deploy.demo.panels import Panel
from gateway.cli.safe_files import Results
from gateway.untrusted_text import printable

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --quiet: #888; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0 } p.quiet, figcaption, small { color: var(--quiet) }
section { border-top: 1px solid var(--line); margin-top: 2rem; padding-top: 1rem }
.large { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1rem }
.large + .masks, .faces + .large { margin-top: 1rem }
.masks { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: .75rem; margin-top: 1rem }
.faces { display: grid; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); gap: 1rem; margin-top: 1rem }
figure { margin: 0 } img { width: 100%; display: block; border-radius: .4rem; background: #000 }
.faces img { background: #fff }
figcaption { font-size: .8rem; overflow-wrap: anywhere }
"""


def write_page(panels: Sequence[Panel], results: Results) -> Path:
    """Write the page. It refers to the pictures by paths relative to its own folder. Raises OSError."""
    sections = "\n".join(_section(panel, results.root) for panel in panels)
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Maskwright demo</title><style>{_STYLE}</style></head><body>
<h1>Maskwright</h1>
<p class="quiet">Body masks, face contours, blurred copies and objects of the sample photos, computed by NVIDIA
Triton on this machine with the lite models. Times are whole HTTP round trips with every artifact, one caller.</p>
{sections}
</body></html>
"""
    return results.write(results.root / "index.html", page.encode())


def _section(panel: Panel, root: Path) -> str:
    base = panel.folder.relative_to(root).as_posix()
    large = [(panel.photo, "photo"), (panel.overlay, "overlay"), (panel.label_map, "label map")]
    small = [(name, name.removesuffix("_mask.png")) for name in panel.masks]
    face = panel.face
    drawn = [(face.contours, "face contours"), (face.overlay, "over the levelled face")] if face else []
    hidden = [(panel.redaction.blurred, "faces and plates hidden"), (panel.redaction.detections, "what was found")]
    people = f"{panel.people} {'person' if panel.people == 1 else 'people'}"
    return (
        f"<section><h2>{_text(panel.photo)}</h2>"
        f"<small>{panel.width}×{panel.height}, {people}, {panel.milliseconds:.0f} ms{_face_time(panel)}"
        f"; {panel.redaction.hidden} hidden in {panel.redaction.milliseconds:.0f} ms</small>"
        f'<div class="large">{_figures(base, large)}</div><div class="masks">{_figures(base, small)}</div>'
        f'<div class="faces">{_figures(base, drawn)}</div><div class="large">{_figures(base, hidden)}</div></section>'
    )


def _face_time(panel: Panel) -> str:
    return f"; the largest face {panel.face.milliseconds:.0f} ms" if panel.face else ""


def _figures(base: str, pictures: Sequence[tuple[str, str]]) -> str:
    return "".join(
        f'<figure><a href="{_path(base, file)}"><img src="{_path(base, file)}" '
        f'alt="{_text(caption)}" loading="lazy"></a><figcaption>{_text(caption)}</figcaption></figure>'
        for file, caption in pictures
    )


def _path(*names: str) -> str:
    """Never a URL of another server: the characters that would make a path one are escaped."""
    return escape("./" + "/".join(map(quote, names)))


def _text(text: str) -> str:
    return escape(printable(text))
