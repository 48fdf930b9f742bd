"""Tells a broker that refuses us from one that is away: waiting mends only the second.

kafka-python meets a refusal (a wrong password, a certificate for another name) by trying on until its time is up, and then
says no more than that. `RefusalClient` makes it stop at the first refusal and say why. It also never has a broker create topics.
"""

import ssl
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from kafka.errors import KafkaConfigurationError, KafkaTimeoutError
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

from schemas.errors import ConfigurationError, TransientError

_REFUSALS: Final = frozenset({29, 30, 31, 33, 34, 53, 58, 65})
"""The protocol's codes for missing rights and failed authentication; kafka-python and aiokafka both carry them as `errno`."""
_TLS_REFUSALS: Final = ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE", "PROTOCOL", "WRONG_VERSION_NUMBER")
"""Parts of OpenSSL's reasons that no second try changes; a connection that breaks off has others."""


def failure(doing: str, error: BaseException) -> ConfigurationError | TransientError:
    """What a Kafka client raised, as an error of ours: ConfigurationError for a refusal or impossible options, else transient."""
    refused = refusal(error)
    if refused is None:
        return TransientError(f"{doing}: {str(error) or repr(error)}")
    return ConfigurationError(f"{doing}: refused: {refused}; docs/security.md tells how connections and rights are set up")


def refusal(error: BaseException) -> BaseException | None:
    """The part of `error`, its causes included, that no second try changes; None where there is none."""
    return next((part for part in _parts(error) if _refuses(part)), None)


def _parts(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        yield from (part for part in error.args if isinstance(part, BaseException))
        error = error.__cause__ or error.__context__


def _refuses(error: BaseException) -> bool:
    if isinstance(error, KafkaConfigurationError):
        return True
    if isinstance(error, ssl.SSLError):
        return any(part in (getattr(error, "reason", None) or "") for part in _TLS_REFUSALS)
    return not isinstance(error, OSError) and getattr(error, "errno", None) in _REFUSALS


class RefusalClient(KafkaNetClient):  # type: ignore[misc]
    """kafka-python's client, as its option `kafka_client`: raises a refusal at once, and with a timeout the reason for it."""

    def __init__(self, **configs: Any) -> None:  # noqa: ANN401 (kafka-python's own options)
        net = NetworkSelector(**configs)
        super().__init__(net, _Manager(net, **configs))


class _Manager(KafkaConnectionManager):  # type: ignore[misc]
    def __init__(self, net: NetworkSelector, **configs: Any) -> None:  # noqa: ANN401
        super().__init__(net, **configs)
        self.cluster.config["allow_auto_create_topics"] = False  # kafka-python has the option, and drops it on the way
        self._refused: dict[Any, BaseException] = {}
        self._last: BaseException | None = None

    def get_connection(self, node_id: Any, **options: Any) -> Any:  # noqa: ANN401 (untyped)
        if node_id in self._refused:
            raise self._refused[node_id]
        connection = super().get_connection(node_id, **options)
        if self.cluster.is_bootstrap(node_id):
            connection.init_future.add_errback(partial(self._not_connected, node_id))
        return connection

    def _not_connected(self, node_id: Any, error: BaseException) -> None:  # noqa: ANN401
        self._last = error
        if refusal(error):
            self._refused[node_id] = error

    async def _build_transport(self, node: Any, timeout_at: float | None = None) -> Any:  # noqa: ANN401
        transport = await super()._build_transport(node, timeout_at=timeout_at)
        transport._sock_recv = partial(_data_first, transport._sock_recv)  # noqa: SLF001 (no other place to mend it)
        return transport

    async def _do_bootstrap(self, deadline: float | None) -> Any:  # noqa: ANN401
        try:
            return await super()._do_bootstrap(deadline)
        except KafkaTimeoutError as error:
            raise KafkaTimeoutError(f"{error.args[0]}: {self._last}") from self._last


def _data_first(receive: Any) -> tuple[bytes, Exception | None]:  # noqa: ANN401
    """A broker says why it refuses and hangs up; kafka-python would drop what came together with the end."""
    data, error = receive()
    return data, None if data else error
