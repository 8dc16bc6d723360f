"""What may stand in a message."""

import base64
import json

import cv2
import numpy as np
from hypothesis import strategies as st

PHOTO = cv2.imencode(".png", np.zeros((32, 32, 3), np.uint8))[1].tobytes()
ENCODED = base64.b64encode(PHOTO).decode()
BASE64 = {"type": "base64", "data": ENCODED}
GOOD = {"user_id": "123", "gender": "male", "request_id": "req-1", "mask_types": ["dress"], "image": BASE64}

SOME_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("user_id", "request_id", "gender", "mask_types", "style", "frame", "person", "include", "priority", "image")
IMAGES = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["base64", "url", "s3", "file"]) | SOME_JSON,
        "data": st.sampled_from([ENCODED, f"data:image/png;base64,{ENCODED}", "http://a.example/b", "s3://masks/a"])
        | SOME_JSON,
    },
)
MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        **{name: SOME_JSON | st.sampled_from(["1", "M", "dress", 1]) for name in FIELDS if name != "image"},
        "image": IMAGES | SOME_JSON,
        "timestamp": SOME_JSON,
    },
)
VALUES = st.none() | st.binary() | (SOME_JSON | MEMBERS).map(lambda value: json.dumps(value).encode())
KEYS = st.none() | st.binary(max_size=8)
