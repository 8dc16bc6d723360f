from hypothesis import given
from hypothesis import strategies as st

from gateway.access.callers import EVERYTHING, OPERATE, READ, RUN_ANY, WRITE, allowed, run_scope
from gateway.jobs.objects import artifact_key, is_of_tenant
from gateway.settings.fields import is_scope, is_tenant

SCOPES = st.sampled_from([READ, WRITE, OPERATE, run_scope("a"), run_scope("b"), "run:*", "jobs:*"])
TENANTS = st.one_of(st.just(""), st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True))


@given(granted=st.frozensets(SCOPES), needed=st.sampled_from([READ, WRITE, OPERATE, run_scope("a")]))
def test_a_scope_is_granted_by_itself_and_by_the_star_of_its_kind(granted: frozenset[str], needed: str) -> None:
    expected = needed in granted or f"{needed.split(':', maxsplit=1)[0]}:*" in granted
    assert allowed(granted, needed) == expected


@given(granted=st.frozensets(SCOPES))
def test_a_scope_for_one_pipeline_is_enough_where_the_body_names_it(granted: frozenset[str]) -> None:
    assert allowed(granted, RUN_ANY) == any(scope.startswith("run:") for scope in granted)


def test_the_everything_scope_allows_every_scope() -> None:
    assert all(allowed(EVERYTHING, scope) for scope in (READ, WRITE, OPERATE, RUN_ANY, run_scope("anything")))
    assert all(is_scope(scope) for scope in (*EVERYTHING, READ, WRITE, run_scope("body_masks")))
    assert not any(is_scope(text) for text in ("", "run", "run:", "*", "jobs:", "jobs:delete", "run:a b", "operate:*"))


@given(one=TENANTS, other=TENANTS, user=st.text(max_size=40), request=st.text(min_size=1, max_size=40))
def test_an_artifacts_key_belongs_to_its_tenant_alone(one: str, other: str, user: str, request: str) -> None:
    key = artifact_key(user, request, "a.png", one)
    assert is_of_tenant(key, other) == (one == other)


@given(st.text(max_size=80))
def test_a_tenant_can_be_a_part_of_a_path(text: str) -> None:
    if is_tenant(text):
        assert not set(text) - set("abcdefghijklmnopqrstuvwxyz0123456789_-")
        assert len(text) < 64
