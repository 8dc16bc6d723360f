"""A batch of photos through the models, with a database and without."""

from collections.abc import Callable
from pathlib import Path

import cv2
import httpx
import pytest

from tests.stack import RunningStack, eventually

pytestmark = pytest.mark.stack

FILES, EVERY = 100, 10
ENDED_S = 120


@pytest.fixture(params=["database", "memory"])
def url(request: pytest.FixtureRequest, stack: RunningStack, gateway_with: Callable[..., str]) -> str:
    return stack.url if request.param == "database" else gateway_with(DB_USE_DATABASE="false")


def test_a_hundred_files_of_which_ten_are_broken(url: str, astronaut: Path) -> None:
    photo = cv2.imencode(".jpg", cv2.imread(str(astronaut)))[1].tobytes()
    broken = {number: photo[:1000] if number % 20 else b"no photo" for number in range(0, FILES, EVERY)}
    files = [("files", (f"{number}.jpg", broken.get(number, photo))) for number in range(FILES)]
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        taken = client.post("/batch-upload", files=files, data={"hide": "faces"}).raise_for_status().json()
        no_photos = sum(data == b"no photo" for data in broken.values())  # that others end early shows in their pixels
        assert (taken["submitted"], taken["failed"]) == (FILES - no_photos, no_photos)
        address = f"/batch/{taken['batch_id']}"
        eventually(lambda: client.get(address).json()["status"] == "completed", ENDED_S, "the batch has ended")
        batch = client.get(address).json()
        assert (batch["progress"], batch["completed"], batch["failed"]) == (100, FILES - len(broken), len(broken))
        for number, one in enumerate(batch["results"]):
            assert one["filename"] == f"{number}.jpg"
            assert (one["results"] is None) == (one["error"] is not None) == (number in broken)
            assert one["results"] or one["error"]["code"] in {"image_truncated", "image_corrupt", "image_unsupported"}
        copies = {client.get(one["results"]["processed_image_url"]).content for one in batch["results"][1:4]}
        assert len(copies) == 1
        assert photo not in copies
