import pytest

from gateway.access.authentication import check_binding
from gateway.server import serve
from gateway.settings import Settings, SettingsError

LOOPBACK = ("127.0.0.1", "127.8.9.1", "::1", "localhost")
OTHERS = ("0.0.0.0", "::", "10.0.0.7", "192.168.1.2", "example.com", "", "::ffff:8.8.8.8")  # noqa: S104 refused, not bound


@pytest.mark.parametrize("host", LOOPBACK)
def test_loopback_needs_no_access_control(host: str) -> None:
    check_binding(Settings(api_host=host, access="off"))


@pytest.mark.parametrize("host", OTHERS)
def test_other_addresses_need_access_required_or_open(host: str) -> None:
    settings = Settings(access="off").model_copy(update={"api_host": host})
    with pytest.raises(SettingsError, match=r"^API_HOST=.*ACCESS=required.*ACCESS=open"):
        check_binding(settings)
    for access in ("required", "open"):
        check_binding(settings.model_copy(update={"access": access}))


def test_the_gateway_does_not_start_on_a_public_address_without_access_control() -> None:
    with pytest.raises(SettingsError, match=r"^API_HOST=0\.0\.0\.0"):
        serve(Settings(api_host="0.0.0.0", api_port=1, access="off", db_use_database=False))  # noqa: S104 refused
