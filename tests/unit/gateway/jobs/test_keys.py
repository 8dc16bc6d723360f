import uuid
from urllib.parse import quote, unquote

from hypothesis import given
from hypothesis import strategies as st

from gateway.jobs.objects import artifact_key, photo_key

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=128)
AWKWARD = st.sampled_from(["", "_", "%5F", "%255F", ".", "..", "%2E", "a/b", "a%2Fb", "a", "b", "/", "a b", "a+b", "="])
LONG = st.sampled_from(["ö" * 128, "." * 128, "=" * 128, "a" * 128])
SEGMENTS = AWKWARD | TEXTS | LONG
TRIPLES = st.tuples(SEGMENTS, SEGMENTS, SEGMENTS)


@given(TRIPLES, TRIPLES)
def test_no_two_jobs_share_a_key(one, other):
    assert (artifact_key(*one) == artifact_key(*other)) == (one == other)


@given(TRIPLES)
def test_an_object_key_has_three_segments_in_a_fixed_order(triple):
    key = artifact_key(*triple)
    segments = key.split("/")
    assert len(segments) == 3
    assert all(segments)
    assert not {".", ".."} & set(segments)


@given(TRIPLES)
def test_a_key_fits_into_s3_and_each_segment_into_a_file_name(triple):
    key = artifact_key(*triple)
    assert len(key.encode()) <= 1024
    assert max(len(segment.encode()) for segment in key.split("/")) <= 255
    assert key.isascii()


@given(TRIPLES)
def test_short_texts_can_be_read_back_from_a_link(triple):
    link = "https://masks.example.com/" + quote(artifact_key(*triple))
    segments = unquote(link).split("/")[3:]
    for text, segment in zip(triple, segments, strict=True):
        if len(text.encode()) <= 85:  # three characters a byte
            assert unquote(segment) == (text or "_")


def test_ordinary_ids_stand_in_the_key_as_they_are():
    assert artifact_key("123", "req-123-001", "upper_body_mask.png") == "123/req-123-001/upper_body_mask.png"
    assert artifact_key("ann@example.com", "a:b~c.d", "x.svg") == "ann@example.com/a:b~c.d/x.svg"


def test_a_missing_user_differs_from_a_user_called_underscore():
    assert artifact_key("", "r", "n") == "_/r/n"
    assert artifact_key("_", "r", "n") == "%5F/r/n"


def test_a_path_cannot_escape_its_folder():
    assert artifact_key("..", ".", "../x") == "%2E%2E/%2E/..%2Fx"


def test_a_photo_is_stored_under_its_job():
    job = uuid.UUID("6f1c0e4e-0d0e-4a57-8f2b-0f6a3c1e9d11")
    assert photo_key(job) == "6f1c0e4e-0d0e-4a57-8f2b-0f6a3c1e9d11"
