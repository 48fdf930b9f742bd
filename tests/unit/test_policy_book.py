"""Policies follow their files while a process runs, and a mistake in one takes nothing away."""

import logging
import os
import time
from pathlib import Path

import pytest

from pipeline import metrics
from pipeline.canary import CANARY_TENANT
from pipeline.policy_book import LOOK_S, SETTLED_S, TENANTS_NAMED, PolicyBook
from schemas.errors import ConfigurationError
from tests.support.policies import TimedBook, write_policy


@pytest.fixture
def timed(tmp_path: Path) -> TimedBook:
    """A book over the tenants acme and default."""
    write_policy(tmp_path)
    write_policy(tmp_path, "acme")
    return TimedBook(tmp_path)


def broken() -> float:
    return metrics.POLICIES_BROKEN._value.get()


def test_a_change_a_new_file_and_a_removed_one_all_count(timed: TimedBook, tmp_path: Path) -> None:
    write_policy(tmp_path, release="2")
    write_policy(tmp_path, "new")
    (tmp_path / "acme.toml").unlink()
    assert timed.later() == {"default": "2", "new": "1"}


def test_what_has_not_changed_is_not_read_again(timed: TimedBook, tmp_path: Path) -> None:
    before = dict(timed.book.current)
    assert timed.later() == {"acme": "1", "default": "1"}
    write_policy(tmp_path, release="2")
    timed.later()
    assert timed.book.current["acme"] is before["acme"]
    assert timed.book.current["default"] is not before["default"]


def test_who_took_up_a_batch_keeps_what_held_then(timed: TimedBook, tmp_path: Path) -> None:
    taken = timed.book.refresh()
    write_policy(tmp_path, release="2")
    timed.later()
    assert taken["default"].policy.release == "1"


def test_the_folder_is_looked_at_once_a_second_at_most(timed: TimedBook, tmp_path: Path) -> None:
    write_policy(tmp_path, release="2")
    timed.now += LOOK_S - 0.01
    timed.book.refresh()
    assert timed.releases()["default"] == "1"
    timed.now += 0.01
    timed.book.refresh()
    assert timed.releases()["default"] == "2"


def test_what_changed_a_moment_ago_may_be_half_written_and_waits_for_a_look_that_finds_it_the_same(
    timed: TimedBook, tmp_path: Path
) -> None:
    timed.wall = time.time()
    write_policy(tmp_path, release="2")
    assert timed.later()["default"] == "1"
    write_policy(tmp_path, release="3-longer")
    assert timed.later()["default"] == "1"
    assert timed.later()["default"] == "3-longer"


def test_what_changed_long_ago_counts_at_once(timed: TimedBook, tmp_path: Path) -> None:
    write_policy(tmp_path, release="2")
    newest = max(path.stat().st_mtime for path in (tmp_path, *tmp_path.iterdir()))
    timed.wall = newest + SETTLED_S + 0.01
    assert timed.later()["default"] == "2"


def test_a_file_that_an_editor_puts_aside_for_a_moment_does_not_take_its_tenant_away(timed: TimedBook, tmp_path: Path) -> None:
    timed.wall = time.time()
    (tmp_path / "acme.toml").rename(tmp_path / "acme.toml~")
    assert "acme" in timed.later()
    write_policy(tmp_path, "acme", release="2")
    timed.later()
    assert timed.later()["acme"] == "2"


def test_a_broken_file_keeps_its_last_good_policy_and_the_others_go_on(
    timed: TimedBook, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "acme.toml").write_text("name = ")
    write_policy(tmp_path, release="2")
    assert timed.later() == {"acme": "1", "default": "2"}
    assert broken() == 1
    assert "acme.toml" in caplog.text
    assert "the last good one holds" in caplog.text


def test_a_broken_file_is_said_once_and_again_when_it_is_broken_in_another_way(
    timed: TimedBook, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for content in ("name = ", "name = ", "release = 5"):
        (tmp_path / "acme.toml").write_text(content)
        os.utime(tmp_path / "acme.toml", ns=(timed_ns := int(timed.now), timed_ns))
        timed.later()
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 2


def test_a_mended_file_counts_and_is_not_broken_any_more(
    timed: TimedBook, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "acme.toml").write_text("name = ")
    timed.later()
    write_policy(tmp_path, "acme")
    with caplog.at_level(logging.INFO):
        assert timed.later()["acme"] == "1"
    assert "can be read again: acme" in caplog.text
    assert broken() == 0


def test_a_new_file_that_is_broken_is_no_tenant(timed: TimedBook, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "new.toml").write_text("name = ")
    assert timed.later() == {"acme": "1", "default": "1"}
    assert "not taken up" in caplog.text


@pytest.mark.parametrize("gone", ["files", "folder"])
def test_a_folder_without_policies_changes_nothing_and_is_said(
    timed: TimedBook, tmp_path: Path, caplog: pytest.LogCaptureFixture, gone: str
) -> None:
    for file in tmp_path.iterdir():
        file.unlink()
    if gone == "folder":
        tmp_path.rmdir()
    assert timed.later() == {"acme": "1", "default": "1"}
    assert broken() == 1
    assert "no *.toml file" in caplog.text
    tmp_path.mkdir(exist_ok=True)
    write_policy(tmp_path, release="2")
    assert timed.later() == {"default": "2"}
    assert broken() == 0


def test_a_word_file_that_changes_changes_its_policy(timed: TimedBook, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("buy followers\n")
    write_policy(tmp_path, words='block = { file = "words.txt" }')
    timed.later()
    before = timed.book.current["default"]
    (tmp_path / "words.txt").write_text("buy likes\n")
    timed.later()
    after = timed.book.current["default"]
    assert before.ref.sha256 != after.ref.sha256
    assert after.phrases is not None
    assert (after.phrases.find("buy followers"), after.phrases.find("buy likes") is None) == (None, False)


def test_a_policy_whose_word_file_is_gone_is_broken(timed: TimedBook, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("buy followers\n")
    write_policy(tmp_path, words='block = { file = "words.txt" }')
    timed.later()
    (tmp_path / "words.txt").unlink()
    timed.later()
    assert timed.book.current["default"].phrases is not None
    assert broken() == 1


def test_what_is_mounted_by_links_is_followed(tmp_path: Path) -> None:
    """As Kubernetes does: every file a link through a link, which is swapped."""
    for release in ("1", "2"):
        (tmp_path / release).mkdir()
        write_policy(tmp_path / release, release=release)
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    (mounted / "..data").symlink_to(tmp_path / "1")
    (mounted / "default.toml").symlink_to("..data/default.toml")
    timed = TimedBook(mounted)
    assert timed.releases() == {"default": "1"}
    (mounted / "..new").symlink_to(tmp_path / "2")
    (mounted / "..new").replace(mounted / "..data")
    assert timed.later() == {"default": "2"}


def test_while_one_thread_reads_the_others_go_on_with_what_holds(timed: TimedBook, tmp_path: Path) -> None:
    write_policy(tmp_path, release="2")
    with timed.book._busy:
        assert timed.later()["default"] == "1"
    assert timed.later()["default"] == "2"


def test_a_change_while_it_starts_is_not_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_policy(tmp_path)
    load = PolicyBook.__init__.__globals__["load_policies"]

    def load_and_lose(folder: Path) -> object:
        loaded = load(folder)
        write_policy(tmp_path, release="2-longer")
        return loaded

    monkeypatch.setitem(PolicyBook.__init__.__globals__, "load_policies", load_and_lose)
    timed = TimedBook(tmp_path)
    assert timed.releases() == {"default": "1"}
    assert timed.later() == {"default": "2-longer"}


def test_at_start_a_broken_file_or_an_empty_folder_stops_the_process(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no"):
        PolicyBook(tmp_path)
    (tmp_path / "acme.toml").write_text("name = ")
    with pytest.raises(ConfigurationError, match=r"acme\.toml"):
        PolicyBook(tmp_path)


def test_so_many_tenants_by_name_have_one_in_metrics_and_whoever_else_comes_is_other(timed: TimedBook, tmp_path: Path) -> None:
    assert [timed.book.label(tenant) for tenant in ("acme", "default", "stranger", CANARY_TENANT)] == [
        *("acme", "default", "other"),
        CANARY_TENANT,
    ]
    for number in range(TENANTS_NAMED):
        write_policy(tmp_path, f"b{number:03}")
    timed.later()
    named = [tenant for tenant in timed.book.current if timed.book.label(tenant) == tenant]
    assert named == sorted(timed.book.current)[:TENANTS_NAMED]
    assert timed.book.label("default") == "other", "acme and 99 more come before it"
