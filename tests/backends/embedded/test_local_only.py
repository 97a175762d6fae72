"""Pages of strangers cannot use a server without keys."""

import pytest

from podbook_api.loopback import is_loopback
from podbook_api.middleware.local_only import refusal


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:8000", "127.0.0.1", "[::1]:8000", "127.1.2.3:1"])
def test_names_of_this_machine_are_served(host: str) -> None:
    assert refusal("POST", host, None) is None
    assert refusal("POST", host, f"http://{host}") is None


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "localhost.evil.example", "", "[broken", "0.0.0.0:80"])
def test_a_name_that_only_resolves_to_this_machine_is_refused(host: str) -> None:
    refused = refusal("GET", host, None)
    assert refused is not None
    assert refused[0] == 421


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:9000", "https://localhost:8000"])
def test_a_page_of_another_origin_changes_nothing(method: str, origin: str) -> None:
    refused = refusal(method, "localhost:8000", origin)
    assert refused is not None
    assert refused[:2] == (403, "CrossOriginRefused")


def test_reading_is_left_to_the_browsers_same_origin_policy() -> None:
    assert refusal("GET", "localhost:8000", "http://evil.example") is None


def test_only_addresses_that_stay_on_this_machine_are_loopback() -> None:
    assert [is_loopback(host) for host in ("localhost", "127.0.0.1", "::1", "127.9.9.9")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "192.168.1.2", "example.org", "")] == [False] * 5
