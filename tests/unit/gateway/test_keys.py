"""API keys: hashed at rest, trusted only from a file that nobody else may write, refused at once when they are over."""

import json
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.gateway.contract import Caller, RateLimited, Unauthenticated
from pipeline.gateway.exchange import Exchange, open_exchange
from pipeline.gateway.key_file import create_key, hash_key, keys_path, read_keys, revoke_key
from pipeline.gateway.keys import KeyGate
from pipeline.settings import Settings
from schemas.errors import ConfigurationError
from tests.support.front import FakeClock


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def gate(file: Path, clock: FakeClock) -> KeyGate:
    return KeyGate(file, clock=clock, now=clock.now)


def test_nobody_gets_a_key_for_the_tenant_of_canaries(file: Path) -> None:
    with pytest.raises(ValidationError, match="llmos-canary is reserved for canaries"):
        create_key(file, "llmos-canary")
    assert not read_keys(file).keys


def test_a_key_is_known_by_its_prefix_and_holds_256_random_bits(file: Path) -> None:
    keys = {create_key(file, "acme")[1] for _ in range(5)}
    assert len(keys) == 5
    assert all(re.fullmatch(r"llmos_[A-Za-z0-9_-]{43}", key) for key in keys)


def test_the_file_holds_a_hash_and_never_the_key(file: Path) -> None:
    made, key = create_key(file, "acme", name="website", texts_per_minute=60)
    written = file.read_text("utf-8")
    assert key not in written
    assert key.removeprefix("llmos_") not in written
    assert hash_key(key) in written
    assert read_keys(file).keys == (made,)
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_file_lies_in_the_state_folder_unless_told_otherwise(tmp_path: Path) -> None:
    assert keys_path(Settings(state_dir=tmp_path)) == tmp_path / "keys.json"
    assert keys_path(Settings(http_keys_file=tmp_path / "other")) == tmp_path / "other"


def test_writers_at_the_same_time_lose_no_key(file: Path) -> None:
    threads = [threading.Thread(target=create_key, args=(file, f"tenant-{number}")) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.tenant for key in read_keys(file).keys} == {f"tenant-{number}" for number in range(8)}


def test_a_new_file_keeps_the_mode_of_the_old(file: Path) -> None:
    create_key(file, "acme")
    file.chmod(0o640)
    create_key(file, "acme")
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "EOF"),
        ("[]", "object"),
        ('{"version":2,"keys":[]}', "version"),
        ('{"keys":[{"key_id":"key_1"}]}', "keys.0"),
        ('{"keys":[],"more":1}', "more"),
    ],
)
def test_a_damaged_file_is_refused_and_named(file: Path, gate: KeyGate, content: str, said: str) -> None:
    file.write_text(content)
    with pytest.raises(ConfigurationError, match=said) as error:
        gate.open()
    assert str(file) in str(error.value)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(file: Path, gate: KeyGate, mode: int) -> None:
    create_key(file, "acme")
    file.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        gate.open()


def test_a_file_that_others_may_read_will_do(file: Path, gate: KeyGate) -> None:
    create_key(file, "acme")
    file.chmod(0o444)
    gate.open()
    assert gate.required


@pytest.mark.parametrize("key", [None, "", "any", "llmos_" + "a" * 43])
def test_without_keys_everybody_is_the_default_tenant(gate: KeyGate, key: str | None) -> None:
    assert gate.enter(key) == Caller("default")
    assert not gate.required


def test_a_key_opens_the_gate_for_its_tenant(file: Path, gate: KeyGate) -> None:
    made, key = create_key(file, "acme")
    assert gate.enter(key) == Caller("acme", made.key_id)
    assert gate.required


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (lambda _: None, True),
        (lambda _: "", True),
        (lambda key: key[:-1], False),
        (lambda key: key + "x", False),
        (lambda key: key.upper(), False),
        (lambda _: "x" * 100_000, False),
        (lambda _: "\ud800", False),
    ],
)
def test_any_other_key_is_refused(file: Path, gate: KeyGate, change: Callable[[str], str | None], *, missing: bool) -> None:
    _, key = create_key(file, "acme")
    with pytest.raises(Unauthenticated) as error:
        gate.enter(change(key))
    assert error.value.missing is missing


def test_the_first_key_and_a_revocation_hold_within_a_second(file: Path, gate: KeyGate, clock: FakeClock) -> None:
    assert gate.enter(None).tenant == "default"
    made, key = create_key(file, "acme")
    clock.seconds += 1
    with pytest.raises(Unauthenticated):
        gate.enter(None)
    assert gate.enter(key).tenant == "acme"
    revoke_key(file, made.key_id)
    clock.seconds += 1
    with pytest.raises(Unauthenticated):
        gate.enter(key)


def test_the_file_is_looked_at_once_a_second_at_most(file: Path, gate: KeyGate, clock: FakeClock) -> None:
    gate.open()
    create_key(file, "acme")
    clock.seconds += 0.99
    assert not gate.required
    clock.seconds += 0.02
    assert gate.required


def test_a_key_expires_to_the_second(file: Path, gate: KeyGate, clock: FakeClock) -> None:
    _, key = create_key(file, "acme", expires_at=clock.now() + timedelta(seconds=10))
    clock.seconds += 9
    assert gate.enter(key).tenant == "acme"
    clock.seconds += 1
    with pytest.raises(Unauthenticated):
        gate.enter(key)


def test_keys_that_are_all_revoked_open_nothing(file: Path, gate: KeyGate) -> None:
    made, _ = create_key(file, "acme")
    revoke_key(file, made.key_id)
    with pytest.raises(Unauthenticated):
        gate.enter(None)


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_text("{"), lambda file: file.chmod(0o666)])
def test_a_file_that_breaks_later_changes_nothing(
    file: Path, gate: KeyGate, clock: FakeClock, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    _, key = create_key(file, "acme")
    gate.open()
    damage(file)
    clock.seconds += 1
    assert gate.enter(key).tenant == "acme"
    with pytest.raises(Unauthenticated):
        gate.enter(None)
    assert caplog.text.count("stay valid") == 1


def test_a_file_that_is_emptied_lets_nobody_in(file: Path, gate: KeyGate, clock: FakeClock) -> None:
    _, key = create_key(file, "acme")
    gate.open()
    file.write_text('{"version":1,"keys":[]}')
    clock.seconds += 1
    for shown in (None, key):
        with pytest.raises(Unauthenticated):
            gate.enter(shown)


def test_each_key_has_its_own_limit(file: Path, clock: FakeClock) -> None:
    gate = KeyGate(file, texts_per_minute=3, clock=clock, now=clock.now)
    keys = [create_key(file, "acme", texts_per_minute=limit)[1] for limit in (1, None, 0)]
    assert [entries(gate, key) for key in keys] == [1, 3, 9]


def entries(gate: KeyGate, key: str) -> int:
    """How often the key may enter, nine at most."""
    for number in range(9):
        try:
            gate.enter(key)
        except RateLimited:
            return number
    return 9


def test_without_keys_each_address_has_the_limit(file: Path, clock: FakeClock) -> None:
    gate = KeyGate(file, texts_per_minute=1, clock=clock)
    gate.enter(None, address="10.0.0.1")
    gate.enter(None, address="10.0.0.2")
    with pytest.raises(RateLimited):
        gate.enter("whatever", address="10.0.0.1")


def test_the_address_is_that_of_the_request_under_way(file: Path, clock: FakeClock) -> None:
    gate = KeyGate(file, texts_per_minute=2, clock=clock)
    exchange = Exchange("req_1", "10.0.0.1")
    open_exchange(exchange)
    gate.enter(None)
    assert exchange.tenant == "default"
    assert exchange.allowance is not None
    assert (exchange.allowance.limit, exchange.allowance.remaining) == (2, 1)


def test_to_ask_who_it_is_costs_nothing(file: Path, clock: FakeClock) -> None:
    gate = KeyGate(file, texts_per_minute=1, clock=clock)
    for _ in range(3):
        gate.enter(None, texts=0)
    gate.enter(None)


def test_revoking_twice_keeps_the_first_time_and_an_unknown_id_is_an_error(file: Path) -> None:
    made, _ = create_key(file, "acme")
    first = revoke_key(file, made.key_id)
    assert revoke_key(file, made.key_id) == first
    with pytest.raises(ConfigurationError, match="key_none"):
        revoke_key(file, "key_none")


def test_the_file_is_plain_json_with_a_version(file: Path) -> None:
    create_key(file, "acme", expires_at=datetime(2027, 1, 1, tzinfo=UTC))
    written = json.loads(file.read_text("utf-8"))
    assert written["version"] == 1
    assert set(written["keys"][0]) == {
        *("key_id", "tenant", "name", "sha256", "hint", "texts_per_minute", "created_at", "expires_at", "revoked_at"),
    }
