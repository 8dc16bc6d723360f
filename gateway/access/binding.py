"""At which addresses the gateway may listen, and who reaches it from this machine."""

from ipaddress import ip_address

from starlette.requests import Request

from gateway.settings import Settings, SettingsError

_OF_PROXIES = ("forwarded", "via", "x-forwarded-for", "x-real-ip")


def check_binding(settings: Settings) -> None:
    """Raise SettingsError where anybody could send requests without being asked who they are."""
    if settings.access != "off" or is_loopback(settings.api_host):
        return
    raise SettingsError(
        f"API_HOST={settings.api_host}: others than this machine could send requests, and nobody asks who they are; "
        "set ACCESS=required, and give them API keys (`maskwright keys create`) or tokens; or ACCESS=open, where a "
        "proxy before the gateway asks"
    )


def is_loopback(host: str) -> bool:
    """Of a name, only one that is always this machine (RFC 6761 §6.3)."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_from_here(request: Request) -> bool:
    """Whether this machine asks, and no proxy on it for somebody else."""
    here = request.client is not None and is_loopback(request.client.host)
    return here and not any(name in request.headers for name in _OF_PROXIES)
