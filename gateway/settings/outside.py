"""What is fetched from, and sent to, other people's servers."""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from gateway.settings.fields import CommaSeparated, SettingsGroup
from gateway.settings.places import web_address


class OutsideSettings(SettingsGroup):
    """Photos by URL, and callbacks."""

    allowed_networks: CommaSeparated[tuple[IPv4Network | IPv6Network, ...]] = Field(
        (),
        description="Networks beside the public Internet that photos and callbacks may reach, such as 10.0.0.0/8, "
        "comma-separated.",
    )
    fetch_timeout_s: float = Field(10.0, gt=0, le=600, description="Time to fetch one photo in all, in seconds.")
    callback_timeout_s: float = Field(10.0, gt=0, le=600, description="Time one callback may take, in seconds.")
    webhook_secret: SecretStr = Field(
        SecretStr(""),
        description="Operator's secret of callbacks (Standard Webhooks): whsec_ and base64. Each tenant's own follows "
        "from it: `maskwright keys webhook`. Without it callbacks are refused.",
    )
    webhook_secret_before: SecretStr = Field(
        SecretStr(""),
        description="The WEBHOOK_SECRET before, while receivers change to a new one: callbacks of every tenant are "
        "signed with it as well.",
    )
    mask_asset_url: Annotated[str, AfterValidator(web_address)] = Field(
        "",
        description="Where the masks of POST /process are uploaded to; nowhere when not set.",
    )
    mask_component_secret: SecretStr = Field(SecretStr(""), description="Sent with such an upload as X-Internal-Auth.")
