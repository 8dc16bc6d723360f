"""How every client of the broker connects, from the settings."""

from gateway.kafka.login import login
from gateway.kafka.tls import tls_context
from gateway.settings import Settings, SettingsError

REQUEST_TIMEOUT_S = 9
"""Longer than SESSION_TIMEOUT_MS of the consumer: a broker may hold a request to join for that long."""

_RETRY_BACKOFF_MS = 250
_METADATA_AGE_MS = 5000
"""So soon it is noticed that a topic was made, or has got more partitions."""


def connection_arguments(settings: Settings) -> dict[str, object]:
    """Keyword arguments of any aiokafka client. Raises SettingsError, one line for each variable that does not fit.

    Certificates are read anew each time, so that renewed ones are used.
    """
    protocol = settings.kafka_security_protocol
    arguments: dict[str, object] = {
        "bootstrap_servers": _servers(settings),
        "security_protocol": protocol,
        "request_timeout_ms": REQUEST_TIMEOUT_S * 1000,
        "retry_backoff_ms": _RETRY_BACKOFF_MS,
        "metadata_max_age_ms": _METADATA_AGE_MS,
    }
    arguments |= login(settings)
    if context := tls_context(settings):
        arguments["ssl_context"] = context
    return arguments


def _servers(settings: Settings) -> list[str]:
    servers = [server.strip() for server in settings.kafka_bootstrap_servers.split(",") if server.strip()]
    if not servers:
        raise SettingsError("KAFKA_BOOTSTRAP_SERVERS=: host:port is needed, comma-separated where there are several")
    return servers
