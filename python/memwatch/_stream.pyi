from os import PathLike
from typing import TypedDict, final

class PublisherStatus(TypedDict):
    endpoint: str
    alive: bool
    sent: int
    dropped: int
    refused: int
    subscriptions: int

@final
class Publisher:
    def __new__(
        cls,
        path: str | PathLike[str],
        endpoint: str,
        *,
        interval_ns: int,
        own_secret_key: str | None = None,
        own_public_key: str | None = None,
        server_key: str | None = None,
        admitted: tuple[str, ...] = (),
    ) -> Publisher: ...
    def close(self) -> None: ...
    def status(self) -> PublisherStatus | None: ...

def make_keys() -> tuple[str, str]: ...
def public_key(secret_key: str, /) -> str: ...
