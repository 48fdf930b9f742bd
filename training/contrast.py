"""Contrast sentences: the same words, kind and hateful, so that the model learns the thing and not the word.

Identity terms stand in friendly, factual, protesting and quoting sentences as often as in hateful ones; hate is aimed at
groups, or at Mondays. Filled from short lists, so every row can be read here.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Final

from training.rows import CLEAN, Row

_SEED: Final = 7
HATE: Final = {"toxicity": 1, "identity_attack": 1, "self_harm": 0, "spam": 0, "sexual": 0, "illicit": 0}
VIOLENT_HATE: Final = {**HATE, "threat": 1}
INSULT: Final = {"toxicity": 1, "insult": 1, "identity_attack": 0, "threat": 0, "self_harm": 0, "spam": 0, "illicit": 0}

EN_GROUPS: Final = tuple(
    "gay people|lesbians|bisexual people|trans people|queer people|Muslims|Jews|Christians|Catholics|Hindus|Buddhists|Sikhs|atheists"
    "|Black people|white people|Asians|Latinos|Mexicans|Arabs|Indians|Chinese people|Africans|Americans|Russians|Poles|Turks|Nigerians"
    "|immigrants|refugees|asylum seekers|women|men|girls|feminists|old people|teenagers|disabled people|deaf people|blind people"
    "|people in wheelchairs|autistic people|Roma|Native Americans|foreigners|homeless people|people with Down syndrome".split("|")
)
EN_KIND: Final = (
    "{0} deserve the same rights as everyone else",
    "my neighbours are {0} and we get along very well",
    "I am happy to see more {0} in parliament",
    "{0} are welcome here, always",
    "the street festival was organised by {0}",
    "a new study about the health of {0} came out today",
    "nobody should insult {0}",
    "it is wrong to say that {0} are animals",
    '"{0} are vermin", he wrote, and I reported him for it',
    "I have never hated {0}",
    "{0} are not criminals, stop spreading that lie",
    "the law protects {0} from discrimination",
    "some of my best teachers were {0}",
    "why do people hate {0}? it makes me sad",
    "we need to listen to what {0} have to say",
    "how many {0} live in this city?",
    "I love {0}, they are the best",
    "my daughter wrote an essay on the history of {0}",
    "attacks on {0} have risen and that is a disgrace",
    "anyone who says {0} should be deported is wrong",
    "proud to be one of many {0} at this school",
    "the film tells the story of {0} in the 1950s",
)
EN_HATE: Final = (
    "{0} are vermin",
    "I hate {0}",
    "I can't stand {0}, they disgust me",
    "{0} should not be allowed to vote",
    "get all {0} out of our country",
    "{0} ruin everything they touch",
    "no decent person would ever trust {0}",
    "the world would be a better place without {0}",
    "{0} are subhuman, everybody knows it",
    "keep {0} away from our children",
    "{0} are simply less intelligent than us",
    "{0} are all thieves and liars",
    "{0} are a disease that spreads",
    "I would never let {0} into my house, they are filthy",
    "it is a pity that {0} exist",
    "{0} don't belong in our society",
    "I don't care what anyone says, {0} are not real people",
    "letting {0} in was the worst mistake this town ever made",
)
EN_VIOLENCE: Final = (
    "{0} do not deserve to live",
    "someone should burn down the homes of {0}",
    "all {0} should be shot",
    "let's go and beat up some {0} tonight",
    "hang every last one of them, {0} first",
)
EN_THINGS: Final = tuple(
    "mondays|broccoli|this printer|traffic jams|mosquitoes|long meetings|spoilers|wet socks|that song|slow websites|exams|pop-up ads"
    "|rats in the cellar|weeds|cold coffee|this level|bugs in my code".split("|")
)
EN_ABOUT_THINGS: Final = (
    "I hate {0}",
    "I can't stand {0}",
    "{0} ruin everything",
    "the world would be a better place without {0}",
    "get rid of {0}, please",
    "{0} drive me crazy",
    "kill {0} with fire lol",
    "{0} are the worst",
)
EN_BAD: Final = (
    "stupid|an idiot|a liar|disgusting|pathetic|a moron|ugly|worthless|a coward|a joke|a disgrace|dumb as a rock".split("|")
)
EN_INSULTS: Final = (
    "you are {0}",
    "he is {0} and everybody knows it",
    "everyone thinks you are {0}",
    "lol you really are {0}",
    "you look {0}",
)
EN_NOT_INSULTS: Final = (
    "you are not {0}",
    "please don't say that she is {0}",
    "nobody here thinks you are {0}",
    "am I {0} for asking this?",
    "I was told that I am {0}, and it hurt",
    "I felt {0} for forgetting my keys",
    "calling someone {0} is not okay",
)
ZH_GROUPS: Final = tuple(
    "同性恋 女同 男同 跨性别者 穆斯林 犹太人 基督徒 佛教徒 黑人 白人 亚洲人 印度人 日本人 韩国人 非洲人 美国人 东北人 河南人 上海人 广东人 新疆人 "
    "藏族人 回族人 外地人 农民工 移民 难民 女人 男人 女司机 女权主义者 老年人 残疾人 聋人 盲人 自闭症患者 外国人 留学生 单亲妈妈 乡下人".split()
)
ZH_KIND: Final = (
    "{0}应该享有同等的权利 我的邻居是{0}，我们相处得很好 欢迎{0}来我们这里 不要歧视{0} 谁也不该侮辱{0} 说{0}是畜生是不对的 我从来没有讨厌过{0} {0}不是罪犯，别再造谣了 "
    "法律保护{0}不受歧视 我有很多朋友是{0} 为什么有人讨厌{0}？真让人难过 这座城市有多少{0}？ 我很喜欢{0}，他们很热情 这部电影讲的是{0}的故事 "
    "有人说“{0}都该死”，我已经举报了 针对{0}的攻击越来越多，太可耻了 我们应该多听听{0}的声音 {0}也是普通人，有好有坏 一项关于{0}的研究今天发表了 我为自己是{0}感到骄傲 "
    "{0}里面也有很多优秀的人"
).split()
ZH_HATE: Final = (
    "{0}都是垃圾 我讨厌{0} 看到{0}就恶心 {0}没一个好东西 {0}滚出去 {0}就是社会的毒瘤 {0}都是骗子小偷 没有{0}这个世界会更好 {0}根本不配当人 {0}就是低人一等 "
    "别让{0}接近我们的孩子 {0}的素质就是低 {0}都是下等人 正常人谁会相信{0} {0}又脏又臭 就不该让{0}进来 {0}智商低，大家都知道 {0}真是祸害"
).split()
ZH_VIOLENCE: Final = "{0}都该死 把{0}都杀光 见一个{0}打一个 {0}就该被烧死 把{0}全部枪毙".split()
ZH_THINGS: Final = "星期一 香菜 堵车 蚊子 开会 剧透 这首歌 考试 广告 杂草 加班 这台打印机 蟑螂 下雨天".split()
ZH_ABOUT_THINGS: Final = "我讨厌{0} 没有{0}这个世界会更好 {0}真烦人 {0}滚开 {0}都该消失 受够了{0} {0}简直要命".split()
ZH_BAD: Final = "蠢 笨 白痴 骗子 废物 丑八怪 胆小鬼 没用的人 笑话 猪".split()
ZH_INSULTS: Final = "你真是{0} 你就是{0} 谁都知道他是{0} 大家都说你是{0} 你这种人就是{0}".split()
ZH_NOT_INSULTS: Final = "你不是{0} 别说她是{0} 没有人觉得你是{0} 我问这个是不是很{0} 有人骂我是{0}，我很难过 骂别人是{0}是不对的 我觉得自己是{0}，忘带钥匙了".split()
_DECORATIONS: Final = ("{0}", "{0}", "{0}.", "{0}!", "{0} 🙂", "{0} 😡", "{0} 🙏", "@user {0}", "{0} lol", "tbh {0}")
_ZH_DECORATIONS: Final = ("{0}", "{0}", "{0}。", "{0}！", "{0}🙂", "{0}😡", "{0}🙏", "说真的，{0}", "{0}，哈哈", "{0}……")


def contrast(_: Path) -> Iterator[Row]:
    """Kind and hateful sentences in both languages, each with a decoration drawn with a fixed seed."""
    chosen = random.Random(_SEED)
    for frames, fillings, labels, decorations in (
        (EN_KIND, EN_GROUPS, CLEAN, _DECORATIONS),
        (EN_HATE, EN_GROUPS, HATE, _DECORATIONS),
        (EN_VIOLENCE, EN_GROUPS, VIOLENT_HATE, _DECORATIONS),
        (EN_ABOUT_THINGS, EN_THINGS, CLEAN, _DECORATIONS),
        (EN_INSULTS, EN_BAD, INSULT, _DECORATIONS),
        (EN_NOT_INSULTS, EN_BAD, CLEAN, _DECORATIONS),
        (ZH_KIND, ZH_GROUPS, CLEAN, _ZH_DECORATIONS),
        (ZH_HATE, ZH_GROUPS, HATE, _ZH_DECORATIONS),
        (ZH_VIOLENCE, ZH_GROUPS, VIOLENT_HATE, _ZH_DECORATIONS),
        (ZH_ABOUT_THINGS, ZH_THINGS, CLEAN, _ZH_DECORATIONS),
        (ZH_INSULTS, ZH_BAD, INSULT, _ZH_DECORATIONS),
        (ZH_NOT_INSULTS, ZH_BAD, CLEAN, _ZH_DECORATIONS),
    ):
        yield from _filled(frames, fillings, labels, decorations, chosen)


def _filled(
    frames: Sequence[str], fillings: Sequence[str], labels: dict[str, int], decorations: Sequence[str], chosen: random.Random
) -> Iterator[Row]:
    for frame, filling in product(frames, fillings):
        yield Row(chosen.choice(decorations).format(frame.format(filling)), labels)
