"""How every client of the broker connects, from the settings."""

import ssl

from gateway.settings import Settings, SettingsError

REQUEST_TIMEOUT_S = 9
"""Longer than SESSION_TIMEOUT_MS of the consumer: a broker may hold a request to join for that long."""

_RETRY_BACKOFF_MS = 250


def connection_arguments(settings: Settings) -> dict[str, object]:
    """Keyword arguments of any aiokafka client. Raises SettingsError, which names the variable that does not fit."""
    protocol = settings.kafka_security_protocol
    arguments: dict[str, object] = {
        "bootstrap_servers": _servers(settings),
        "security_protocol": protocol,
        "request_timeout_ms": REQUEST_TIMEOUT_S * 1000,
        "retry_backoff_ms": _RETRY_BACKOFF_MS,
    }
    if protocol.startswith("SASL"):
        arguments |= _login(settings)
    if protocol.endswith("SSL"):
        arguments["ssl_context"] = _ssl_context(settings)
    return arguments


def _servers(settings: Settings) -> list[str]:
    servers = [server.strip() for server in settings.kafka_bootstrap_servers.split(",") if server.strip()]
    if not servers:
        raise SettingsError("KAFKA_BOOTSTRAP_SERVERS=: host:port is needed, comma-separated where there are several")
    return servers


def _login(settings: Settings) -> dict[str, object]:
    login = {"KAFKA_USERNAME": settings.kafka_username, "KAFKA_PASSWORD": settings.kafka_password.get_secret_value()}
    missing = [variable for variable, value in login.items() if not value]
    if missing:
        why = f"needed with KAFKA_SECURITY_PROTOCOL={settings.kafka_security_protocol}"
        raise SettingsError("\n".join(f"{variable}=: {why}" for variable in missing))
    return {
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": login["KAFKA_USERNAME"],
        "sasl_plain_password": login["KAFKA_PASSWORD"],
    }


def _ssl_context(settings: Settings) -> ssl.SSLContext:
    cafile = settings.kafka_ssl_cafile
    try:
        return ssl.create_default_context(cafile=cafile)
    except OSError as error:
        raise SettingsError(f"KAFKA_SSL_CAFILE={cafile}: {error}") from error
