"""How to cite the data sets, by their names in `training.sources`."""

from typing import Final

_SPANS: Final = "Pavlopoulos et al., SemEval-2021 Task 5; ACL 2022"
_BIAS: Final = "Dixon et al., AIES 2018"
_CONTEXT: Final = "Pavlopoulos et al., ACL 2020"
_JIGSAW: Final = "Jigsaw, Toxic Comment Classification Challenge, 2018"
_SURGE: Final = "Surge AI, 2022"
_XQUAD: Final = "Artetxe et al., ACL 2020"
CITATIONS: Final = {
    "toxic-spans-test": _SPANS,
    "toxic-spans": _SPANS,
    "wikipedia-1492": _BIAS,
    "bias-madlibs": _BIAS,
    "zh-templates": _BIAS,
    "context-toxicity-gn": _CONTEXT,
    "context-toxicity-gc": _CONTEXT,
    "xstest": "Röttger et al., NAACL 2024",
    "cold": "Deng et al., EMNLP 2022",
    "edos": "Kirk et al., SemEval-2023 Task 10",
    "hatemoji": "Kirk et al., NAACL 2022",
    "convabuse": "Cercas Curry et al., EMNLP 2021",
    **dict.fromkeys(("jigsaw-hieu", "jigsaw-amodh", "jigsaw-ak", "jigsaw-houm"), _JIGSAW),
    "davidson": "Davidson et al., ICWSM 2017",
    "surge-toxicity": _SURGE,
    "goemotions": "Demszky et al., ACL 2020",
    "ailuminate": "Ghosh et al., AILuminate 1.0, 2025",
    "simple-safety-tests": "Vidgen et al., 2023",
    "sms-spam": "Almeida et al., DocEng 2011",
    "xquad-en": _XQUAD,
    "xquad-zh": _XQUAD,
    "swsr": "Jiang et al., Online Social Networks and Media, 2022",
    "jade": "Zhang et al., 2023",
    "cvalues": "Xu et al., 2023",
    "weibo-ner": "Peng and Dredze, EMNLP 2015",
}
