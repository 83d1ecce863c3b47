"""Telling AWS from what answers in its place: a captive portal, a proxy, a web server at AWS_ENDPOINT_URL."""

from collections.abc import Mapping
from typing import Any, TypeVar

from rootlet.errors import RootletError

_REQUEST_IDS = ("x-amzn-requestid", "x-amz-request-id")
"""Every answer of an AWS API has one (AWS: request IDs in responses), and so has every answer of the sandbox."""

Client = TypeVar("Client")


def checked(client: Client) -> Client:
    """``client``, a boto3 client, whose calls raise RootletError where something that is not AWS answers.

    botocore reads such an answer as it can: a page as an operation without a result, or not at all.
    """
    boto: Any = client
    where = boto.meta.endpoint_url

    def check(response_dict: Mapping[str, Any], operation_model: Any, **_: Any) -> None:
        headers = {name.lower(): value for name, value in response_dict["headers"].items()}
        status = response_dict["status_code"]
        if status >= 500 or any(name in headers for name in _REQUEST_IDS):
            return  # botocore tries again after 500 and more
        kind = headers.get("content-type", "no content type").partition(";")[0]
        server = headers.get("server", "a server without a name")
        raise RootletError(
            f"{where} is not AWS: {server} answered {operation_model.name} with {status} and {kind}",
            hint="check AWS_ENDPOINT_URL, HTTPS_PROXY, and whether the network asks for a login first",
        )

    boto.meta.events.register(f"before-parse.{boto.meta.service_model.service_id.hyphenize()}", check)
    return client
