"""Rule labels for profanity: few Chinese texts carry the label, so a short list of unmistakable words stands in.

Only words that swear in every context are listed: 垃圾 (rubbish) or sick are not. The English list also keeps
swearing out of texts that serve as clean negatives.
"""

import re

ENGLISH = re.compile(
    r"\b(?:mother)?f+u+c+k|\bshit|bullshit|\bb[i]+tch|\bass+hole|\bcunt|\bdickhead|\bwhore|\bslut|\bfagg?ot|\bnigg|\btwat\b|\bwank"
    r"|\bpussy|\bretard|\bbastard|\bwtf\b|\bstfu\b|\bdick\b|\bcock\b|\bporn|\bcrap\b|\bhoes?\b|\bdamn\b|\bass\b",
    re.IGNORECASE,
)
CHINESE_WORDS = (
    "傻逼 傻比 煞笔 沙比 傻屌 傻叉 操你 草你妈 草泥马 肏 日你妈 干你娘 干你妈 你妈逼 你妈的 他妈的 她妈的 特么的 妈的 妈逼 妈了个 "
    "卧槽 我操 操蛋 装逼 牛逼 苦逼 逼样 鸡巴 鸡吧 几把 屌丝 吊毛 婊子 绿茶婊 贱人 贱货 骚货 骚逼 烂货 荡妇 狗日 狗逼 王八蛋 "
    "杂种 畜生 滚蛋 去死 放屁 屁话 尼玛 你麻痹 麻痹的 混蛋 龟儿子 死妈 仆街 冚家 脑残 智障"
).split()
CHINESE = re.compile("|".join(map(re.escape, CHINESE_WORDS)))


def profane(text: str) -> bool:
    """Whether `text` holds a word of either list."""
    return bool(ENGLISH.search(text) or CHINESE.search(text))
