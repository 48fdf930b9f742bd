"""A transformers pipeline in one process, without Kafka: the same graph through Optimum's ONNX Runtime model.

    python -m benchmarks.peers.transformers_pipeline BUNDLE TEXTS FORM

Ends with one line of JSON: texts and seconds. The texts are all there at once: what such a pipeline has to give in the best case.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import onnxruntime as ort
from optimum.onnxruntime import ORTModelForSequenceClassification  # type: ignore[import-not-found]  # only in its own environment
from transformers import AutoTokenizer, PreTrainedTokenizerFast, pipeline

from benchmarks.peers.model import RUN_ROWS, USUAL_ROWS

_WARM = 64


def folder_of(bundle: Path, folder: Path) -> None:
    """The bundle as Hugging Face's libraries lay out a model."""
    manifest = json.loads((bundle / "bundle.json").read_text("utf-8"))
    labels = [label["name"] for label in manifest["labels"]]
    config = {
        "model_type": "bert",
        "architectures": ["BertForSequenceClassification"],
        "problem_type": "multi_label_classification",
        "id2label": dict(enumerate(labels)),
        "label2id": {label: number for number, label in enumerate(labels)},
        "vocab_size": manifest["tokenizer"]["vocabulary_size"],
    }
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    (folder / "model.onnx").symlink_to((bundle / manifest["models"][0]["file"]).resolve())
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_file=str(bundle / manifest["tokenizer"]["file"]),
        pad_token="<pad>",  # noqa: S106 (a token, no password)
        model_max_length=manifest["windows"]["tokens_max"],
        model_input_names=["input_ids", "attention_mask"],
    ).save_pretrained(folder)


def main(bundle: str, file: str, form: str) -> None:
    """Score all texts; `tuned` sorts them, runs a few at a time and lets no thread wait busily."""
    texts: list[str] = json.loads(Path(file).read_text("utf-8"))
    chosen = ort.SessionOptions()
    if form == "tuned":
        chosen.intra_op_num_threads = os.cpu_count() or 1
        chosen.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with tempfile.TemporaryDirectory(prefix="bench-transformers-") as name:
        folder_of(Path(bundle), Path(name))
        model = ORTModelForSequenceClassification.from_pretrained(name, session_options=chosen)
        score = pipeline("text-classification", model=model, tokenizer=AutoTokenizer.from_pretrained(name), top_k=None)
        rows = RUN_ROWS if form == "tuned" else USUAL_ROWS
        score(texts[:_WARM], batch_size=rows, truncation=True)
        began = time.perf_counter()
        found = score(sorted(texts, key=len) if form == "tuned" else texts, batch_size=rows, truncation=True)
        seconds = time.perf_counter() - began
    print(json.dumps({"texts": len(found), "seconds": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
