#!/bin/sh
# The reference run of the moderation models: a strong one of twelve layers, and a fast one of six that it teaches.
#
#   training/runs/moderation.sh DATA BASE [FOLDER]     by default FOLDER is runs/moderation
#
#   DATA   folder of the data sets (python -m training.sources lists them, their homes and licences)
#   BASE   folder of the base encoder: intfloat/multilingual-e5-small, or the same with a smaller vocabulary
#
# So 2.0.0 and 2.2.0 were made. With START=FOLDER it goes on from the bundle there in place of all this: further epochs of the fast
# model, then half of the way back. So 2.1.0 was made from 2.0.0; 2.1.1 is 2.1.0, exported anew. With EARLIER=FOLDER as well, a bundle
# of the same vocabulary, both teach a strong model first, and that and START teach the fast one. So 2.3.0 was made from 2.2.0 and 2.0.0.
#
# Cut it whenever you like and start it again: a finished step is passed over, and training goes on from its last checkpoint.
# Hours on two CPU cores, minutes on a GPU, which is used where there is one. PROCESSES=4 trains in four processes (one a GPU);
# RELEASE names the models' version; WATTS, the power the machine draws, puts the energy into the cards.
set -eu
DATA=$(realpath "$1")
BASE=$(realpath "$2")
START=${START:+$(realpath "$START")}
EARLIER=${EARLIER:+$(realpath "$EARLIER")}
[ -z "$EARLIER" ] || : "${START:?EARLIER goes with START}"
OUT=$(realpath -m "${3:-runs/moderation}")
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-.venv/bin/python}
PROCESSES=${PROCESSES:-1}
RELEASE=${RELEASE:-${EARLIER:+2.3.0}}
RELEASE=${RELEASE:-${START:+2.1.1}}
RELEASE=${RELEASE:-2.2.0}
FILES=training/runs/moderation
mkdir -p "$OUT/models"

train() { # NAME [OPTION…]
    name=$1
    shift
    launch=""
    if [ "$PROCESSES" -gt 1 ]; then
        launch="-m torch.distributed.run --standalone --nproc-per-node $PROCESSES"
    fi
    "$PYTHON" $launch -m training.finetune --config $FILES/"$name".toml --prepared "$OUT/data" --base "$BASE" \
        --state "$OUT/$name" "$@"
}

finish() { # RUN BUNDLE [OPTION…]
    run=$1
    bundle=$OUT/models/$2
    shift 2
    if [ -e "$OUT/$run.finished" ]; then
        return
    fi
    "$PYTHON" -m training.export --state "$OUT/$run" --prepared "$OUT/data" --bundle "$bundle" --release "$RELEASE" \
        ${WATTS:+--watts "$WATTS"} "$@"
    "$PYTHON" -m training.calibrate --bundle "$bundle" --prepared "$OUT/data"
    "$PYTHON" -m training.evaluate --bundle "$bundle" --prepared "$OUT/data" --output "$OUT/report-$run" --write
    touch "$OUT/$run.finished"
}

spell() { # emoji that the vocabulary lacks are read by their names
    [ -e "$OUT/base/tokenizer.json" ] || "$PYTHON" -m training.tokenizer spell --base "$BASE" --output "$OUT/base"
    BASE=$OUT/base
}

[ -e "$OUT/data/card.json" ] || "$PYTHON" -m training.prepare --data "$DATA" --output "$OUT/data"
if [ -n "$START" ]; then
    [ -e "$OUT/start/made.json" ] || "$PYTHON" -m training.unpack --bundle "$START" --state "$OUT/start"
    after=further
    if [ -n "$EARLIER" ]; then
        [ -e "$OUT/earlier/made.json" ] || "$PYTHON" -m training.unpack --bundle "$EARLIER" --state "$OUT/earlier"
        cp "$OUT/start/tokenizer.json" "$OUT/earlier/" # the same ids; of 2.0.0's it lacks only how emoji are read
        spell
        train strong --teacher "$OUT/start" --teacher "$OUT/earlier"
        after=taught
        set -- --teacher "$OUT/strong" --teacher "$OUT/start"
    else
        set --
    fi
    BASE=$OUT/start
    train $after --from "$OUT/start" "$@"
    [ -e "$OUT/between/made.json" ] ||
        "$PYTHON" -m training.average --before "$OUT/start" --after "$OUT/$after" --state "$OUT/between"
    finish between moderation-en-zh --precision int8 ${EARLIER:+--with-run "$OUT/strong"}
    exit
fi
spell
train teacher
train fast --teacher "$OUT/teacher" --from "$OUT/teacher"
finish fast moderation-en-zh --precision int8 --with-run "$OUT/teacher"
finish teacher moderation-en-zh-strong --precision fp16 --precision fp32 --precision int8
echo "models in $OUT/models; compare, then put into service: python -m training.promote --help"
