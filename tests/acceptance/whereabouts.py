"""Where jobs were last: looked up in the topics themselves when a run misses some, by a reader that has seen nothing yet."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from pipeline.backlog import Backlog
from pipeline.read import Reader
from pipeline.settings import Settings
from pipeline.topics import work_topics


def whereabouts(settings: Settings, ids: Collection[str]) -> dict[str, list[str]]:
    """For each job every record that names it: topic, partition, offset, time, and where its readers have committed."""
    if not ids:
        return {}
    readers = {settings.jobs_topic: settings.preprocess_group}
    readers |= {topic: settings.worker_group(model) for model, topic in work_topics(settings).items()}
    found: defaultdict[str, list[Any]] = defaultdict(list)
    with Reader(settings, [*readers, settings.results_topic, settings.dead_letters_topic]) as reader:
        reader.seek_start()
        for record in reader.records(follow=False):
            for job_id in ids:
                if record.key == job_id.encode() or f'"{job_id}"'.encode() in (record.value or b""):
                    found[job_id].append(record)
    backlogs = {group: Backlog(settings, group) for group in readers.values()}
    return {job_id: [_told(record, readers.get(record.topic), backlogs) for record in found[job_id]] for job_id in ids}


def _told(record: Any, group: str | None, backlogs: Mapping[str, Backlog]) -> str:
    place = (record.topic, record.partition)
    where = f"{record.topic}, partition {record.partition}, offset {record.offset}, at {record.timestamp} ms"
    return f"{where}; {group} has committed {backlogs[group].waiting([place])[place].first}" if group else where
