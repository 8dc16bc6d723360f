"""Whatever is sent for a face's contours: no fault of ours, no hang, no SVG that cannot be read."""

import base64
import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import MEDIA_TYPE
from gateway.pipelines.parameters import FaceContoursParameters
from tests.integration.gateway.face_case import REAL, RUN, FaceCase, found_case, real_case
from tests.integration.gateway.face_mutations import Mutation, mutations
from tests.json_values import JSON_VALUES
from tests.unit.vision.face.document import read_document

MUTATIONS, MANY_MUTATIONS = 200, 2000
"""In each run of the tests, and in the long form."""
SVG = "{http://www.w3.org/2000/svg}"
TAGS = {f"{SVG}{tag}" for tag in ("svg", "image", "g", "title", "path", "text")}
PATH = re.compile(r"[-MCLZchlvz0-9. ]*")

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def case(client: httpx.Client, person: bytes) -> FaceCase:
    return real_case() if REAL.exists() else found_case(client, person)


def assert_sound(answer: httpx.Response) -> None:
    """A problem of the caller's making, or artifacts that can be read."""
    if answer.status_code != 200:
        assert answer.headers["content-type"] == MEDIA_TYPE
        assert 400 <= answer.status_code < 500, answer.text[:500]
        return
    for name, artifact in answer.json()["artifacts"].items():
        content = base64.b64decode(artifact["base64"])
        if name.endswith(".svg"):
            elements = list(read_document(content.decode()).iter())
            assert {element.tag for element in elements} <= TAGS
            assert all(PATH.fullmatch(element.get("d", "")) for element in elements)
        else:
            json.loads(content, parse_constant=pytest.fail)


def test_mutations_of_a_good_request(request: pytest.FixtureRequest, client: httpx.Client, case: FaceCase) -> None:
    count = MANY_MUTATIONS if request.config.getoption("--long") else MUTATIONS

    def send(mutation: Mutation) -> int:
        files = {"image": mutation.photo, "landmarks": mutation.landmarks, "segmentation_map": mutation.label_map}
        answer = client.post(RUN, files=files, data=mutation.fields)
        assert_sound(answer)
        return answer.status_code

    with ThreadPoolExecutor(4) as pool:
        statuses = Counter(pool.map(send, mutations(case, count, seed=4)))
    assert sum(statuses.values()) == count
    assert min(statuses[200], statuses[422]) > count / 10, "both good and bad ones were among them"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(sorted(FaceContoursParameters.model_fields)), JSON_VALUES, max_size=4))
def test_any_json(client: httpx.Client, case: FaceCase, fields: dict[str, object]) -> None:
    body = {"image": base64.b64encode(case.photo).decode(), "landmarks": case.landmarks, **fields}
    headers = {"Content-Type": "application/json"}
    assert_sound(client.post(RUN, content=json.dumps(body), headers=headers))
