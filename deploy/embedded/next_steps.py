"""What `maskwright up` says when everything runs."""

from gateway.settings import Settings

_FOLDERS = {"body_masks": "masks", "face_contours": "faces", "privacy_blur": "blurred", "detect": "objects"}
_KEY = (
    "callers need a key; make one, and let the commands below send it:\n"
    '  export MASKWRIGHT_TOKEN="$(.venv/bin/maskwright keys create NAME --scope "run:*" --scope "jobs:*")"\n\n'
)


def next_steps(settings: Settings) -> str:
    """Lines to try, of the pipelines that are offered and with the key that callers need."""
    url, first = settings.local_url, settings.pipelines[0]
    asks = settings.access == "required"
    header = '-H "Authorization: Bearer $MASKWRIGHT_TOKEN" ' if asks else ""
    runs = (f"  .venv/bin/maskwright run {name} PHOTO.jpg -o {_FOLDERS[name]}\n" for name in settings.pipelines)
    return (
        f"\n{_KEY if asks else ''}now try:\n"
        f"{''.join(runs)}"
        f"  curl {header}-F image=@PHOTO.jpg {url}/v1/run/{first} -o answer\n"
        '  eval "$(.venv/bin/maskwright env)"  # ports and addresses, for psql, kcat and curl\n'
        f"and see {url}/docs for the API, `.venv/bin/maskwright status --watch`, `logs` and `down`\n"
    )
