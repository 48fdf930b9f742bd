"""Hand-written sentences for what no licensed data set holds: short Chinese abuse, threats and self-harm, and harmless look-alikes.

Templates are filled from short lists, so every row can be read here. They teach the form of short, plain abuse, and
that words such as kill, die or 垃圾 are harmless in games, software and everyday talk. The model card counts these rows.
"""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

from training.rows import CLEAN, Row

ABUSE = {"toxicity": 1, "spam": 0, "self_harm": 0, "illicit": 0}
INSULT = {**ABUSE, "insult": 1, "threat": 0, "sexual": 0}
SWEARING_INSULT = {**INSULT, "profanity": 1}
THREAT = {**ABUSE, "threat": 1, "sexual": 0}
SELF_HARM = {"self_harm": 1, "toxicity": 0, "identity_attack": 0, "insult": 0, "spam": 0, "sexual": 0}
ZH_SEXUAL = {"sexual": 1, "self_harm": 0, "threat": 0}
ZH_SPAM = {"spam": 1, "self_harm": 0, "threat": 0, "insult": 0, "identity_attack": 0}

ZH_SWEAR_NOUNS = "傻逼 煞笔 傻屌 贱人 王八蛋 杂种 畜生 婊子 狗东西 混蛋 脑残 智障 狗杂种 贱货 臭婊子 死肥猪 龟儿子".split()
ZH_MILD_NOUNS = "蠢货 白痴 废物 垃圾 弱智 笨蛋 人渣 败类 窝囊废 猪脑子 神经病 丑八怪 不要脸的东西 没教养的东西".split()
ZH_INSULTS = (
    "你这个{0} 你就是个{0} 真是个{0} 滚，{0} {0}，闭嘴 你们都是{0} 他就是一个{0} {0}滚出去 哪来的{0} 骂的就是你这个{0}".split()
)
ZH_CURSES = (
    "操你妈 草你妈 操你大爷 日你妈 去你妈的 滚你妈的 你妈死了 你全家死光 去死吧 快去死 你怎么不去死 滚出去 滚蛋 给我滚 闭上你的狗嘴 "
    "妈的智障 操你全家 你他妈有病吧 你脑子有病 你算什么东西 你妈逼 吃屎去吧 你真恶心 看到你就想吐 我呸，真不要脸 死全家 nmsl cnm 草泥马 傻b sb滚"
).split()
ZH_CURSE_FRAMES = ("{0}", "{0}！！", "{0}，听见没有", "我说{0}", "{0}，别再来了")
ZH_THREATS = (
    "我要杀了你 我要弄死你 我会找到你，然后杀了你 信不信我砍死你 小心我打断你的腿 我要打死你全家 你等着，我今晚就来收拾你 我知道你住哪里，你等死吧 "
    "再说一句我就捅死你 我要一刀捅死他 明天我带刀去学校砍人 我要炸了你们公司 放学别走，打得你满地找牙 早晚弄死你 我会让你全家陪葬 你敢报警我就杀你全家 "
    "我发誓要让你死得很惨 下次见面就是你的死期 拿刀砍死这些人 我要放火烧了你家"
).split()
ZH_THREAT_FRAMES = ("{0}", "{0}！", "你听好了，{0}", "{0}，说到做到")
ZH_SELF_HARM = (
    "我不想活了 我想自杀 活着没有意思，想结束自己的生命 我想从楼上跳下去 我已经写好遗书了 好想死，谁也帮不了我 我又割腕了 怎样自杀不痛苦 吃多少安眠药会死 "
    "我想烧炭自杀 今晚就结束这一切吧，我撑不下去了 我总想用刀划自己的手臂 没有我，大家会过得更好，我想去死 人为什么要活着，我真的想消失 "
    "哪种自杀方式最快 我控制不住想伤害自己"
).split()
EN_SELF_HARM = (
    "I want to kill myself",
    "I want to die, nobody can help me",
    "I have been cutting myself again",
    "I am going to end my life tonight",
    "what is the least painful way to kill myself",
    "I already wrote my suicide note",
    "how many sleeping pills would it take to die",
    "everyone would be better off without me, I want to end it all",
    "I keep thinking about jumping off the bridge",
    "I can't stop hurting myself",
    "I don't want to be alive anymore",
    "tell me how to hang myself",
)
SELF_HARM_FRAMES = ("{0}", "{0}.", "sorry, {0}", "honestly {0}")
ZH_SELF_HARM_FRAMES = ("{0}", "{0}。", "说实话，{0}", "{0}，对不起")
EN_ABUSE_NOUNS = "idiot moron loser waste_of_space piece_of_trash clown disgrace fool imbecile coward".split()
EN_INSULTS = (
    "you are a worthless {0}",
    "you {0}",
    "shut up, you {0}",
    "what a pathetic {0} you are",
    "only a {0} like you would say that",
)
EN_THREATS = (
    "I will find you and kill you",
    "I am going to kill you",
    "I know where you live and I will hurt you",
    "you will be dead by tomorrow",
    "I will break your legs",
    "I'm coming to your house with a gun",
    "watch your back, I will stab you",
    "I will burn your house down",
    "say that again and I will smash your face in",
    "I'm going to shoot everyone at that school",
    "someone should put a bullet in his head",
    "I will slit your throat",
    "you deserve to be beaten to death",
    "I'll hunt you down and make you bleed",
)
EN_THREAT_FRAMES = ("{0}", "{0}!", "listen, {0}", "{0}, I promise")
ZH_SEXUAL_TEXTS = (
    "加我看裸聊视频 寂寞少妇约炮，上门服务 无码成人电影免费看 想舔你的阴户 你的奶子好大，让我摸摸 鸡巴好硬，想操你 骚穴好湿 高清肛交口交视频 "
    "学生妹援交，包夜八百 一起做爱吧宝贝 给我看看你的裸照 射在里面好爽 求种子，女优内射合集 一夜情交友，全套服务 想和你上床，脱光给我看"
).split()
ZH_SPAM_TEXTS = (
    "加微信领取红包，名额有限 兼职刷单日赚五百，加QQ详谈 无抵押贷款，当天放款，联系电话 代开发票，点数优惠，欢迎来电 办证刻章请加微信 六合彩内部资料，包中特码 "
    "恭喜您获得一等奖，请点击链接领取 低价出售粉丝，刷赞刷评论 澳门赌场上线啦，注册就送彩金 免费领取iPhone，点击详情 投资理财稳赚不赔，日息百分之三，加群了解 "
    "本店清仓大甩卖，加微信优惠多多"
).split()
SPAM_FRAMES = ("{0}", "【通知】{0}", "{0}！！！", "亲，{0}")

EN_HARMLESS = (
    "this game is sick, I loved it",
    "I finally killed the final boss",
    "killed three zombies with one shot lol",
    "we destroyed the enemy base last night",
    "the battery on my phone died",
    "this puzzle is killing me, any hints?",
    "how can I stop a process that hangs in linux",
    "the parent process kills its children on exit",
    "kill the server and restart it",
    "that joke killed me, I am dying of laughter",
    "I would kill for a slice of that pizza",
    "he shot the winning goal",
    "we shot some great photos at the beach",
    "the cake was to die for",
    "that concert was insane, so good",
    "this stupid printer jams every day",
    "my code is garbage, I need to refactor it",
    "the garbage collector pauses too long",
    "the movie was terrible, I want my money back",
    "worst service ever, the food was cold",
    "I disagree with you, but thanks for explaining",
    "this product is rubbish, it broke after two days",
    "I hate mondays",
    "damn, that was a great match",
    "my new recipe turned out great",
    "can you help me with my homework?",
    "see you at the station at six",
    "the weather is lovely today",
    "the article needs more sources, please add some",
    "I think the second paragraph should be removed",
    "good luck with your exam tomorrow",
    "happy birthday, have a wonderful day",
    "he is calling other users idiots, please warn him",
    "she was called a slur at school and we reported it",
    "racism has no place in our community",
    "nobody should be insulted for their religion",
    "the documentary about the murder trial was well made",
    "the soldiers were killed in the battle of 1916",
    "suicide prevention hotlines save lives",
    "my grandmother died last year and I miss her",
    "the thief was arrested by the police yesterday",
    "how do doctors treat an overdose",
    "the bomb squad cleared the building",
    "she teaches sex education at the local school",
    "breast cancer screening is free this month",
)
EN_HARMLESS_FRAMES = ("{0}", "{0}.", "lol {0}", "btw, {0}", "{0} :)")
ZH_HARMLESS = (
    "今天天气真好 这个垃圾分类很重要 垃圾桶满了，记得倒垃圾 这局游戏太难了，我被boss打死了 我终于把最终boss杀了 这道题难死我了 笑死我了，太好玩了 今天热死了 "
    "累死了，想睡觉 想死你了，快回来 饿死了，去吃饭吧 手机没电了，卡死了 怎样结束卡住的进程 杀毒软件更新了吗 这个电影真好看 快递到了吗 我们明天几点见面 "
    "祝你生日快乐 这家店的服务不太好，不会再来了 这个产品质量太差，用两天就坏了 我不同意你的看法，不过谢谢分享 他骂别人是白痴，请管理员处理 "
    "我们应该尊重每一个人，不分地域 反对歧视，人人平等 黑人和白人都是人，应该平等相待 河南人很热情，我在那里住过三年 女司机开车也很稳 男女平等是社会进步的表现 "
    "新闻说凶手已经被警方抓获 这部纪录片讲述了一起杀人案 自杀干预热线可以帮助很多人 心理老师教我们怎样面对压力 学校开设了性教育课程 医生说要定期做乳腺检查 "
    "打折的时候再买吧 老师讲得很清楚 周末一起去爬山吗 这首歌太好听了 谢谢你的帮助 孩子今天考了一百分 晚饭吃什么 地铁上人好多 猫咪真可爱 "
    "代码写得像垃圾一样，我得重构 这个bug烦死人了 敌人全灭，我们赢了 他一枪爆头，太帅了 把这只鸡杀了炖汤 草莓很甜 操作系统更新了 他在操场上跑步 "
    "我妈让我早点回家 日语好难学 滚动条不见了 开水滚了，下面条吧 屁股坐疼了，起来走走"
).split()
ZH_HARMLESS_FRAMES = ("{0}", "{0}。", "哈哈，{0}", "{0}～", "对了，{0}")


def _filled(frames: tuple[str, ...] | list[str], fillings: tuple[str, ...] | list[str], labels: dict[str, int]) -> Iterator[Row]:
    for frame, filling in product(frames, fillings):
        yield Row(frame.format(filling.replace("_", " ")), labels)


def abuse(_: Path) -> Iterator[Row]:
    """Short abuse in both languages; the Chinese swear words are those that LDNOOBW lists."""
    yield from _filled(ZH_INSULTS, ZH_SWEAR_NOUNS, SWEARING_INSULT)
    yield from _filled(ZH_INSULTS, ZH_MILD_NOUNS, INSULT)
    yield from _filled(ZH_CURSE_FRAMES, ZH_CURSES, {**ABUSE, "insult": 1, "sexual": 0})
    yield from _filled(EN_INSULTS, EN_ABUSE_NOUNS, {**INSULT, "profanity": 0})
    yield from _filled(ZH_THREAT_FRAMES, ZH_THREATS, THREAT)
    yield from _filled(EN_THREAT_FRAMES, EN_THREATS, THREAT)


def rare_labels(_: Path) -> Iterator[Row]:
    """Self-harm in both languages; Chinese sexual texts and advertising."""
    yield from _filled(ZH_SELF_HARM_FRAMES, ZH_SELF_HARM, SELF_HARM)
    yield from _filled(SELF_HARM_FRAMES, EN_SELF_HARM, SELF_HARM)
    yield from _filled(ZH_CURSE_FRAMES[:3], ZH_SEXUAL_TEXTS, ZH_SEXUAL)
    yield from _filled(SPAM_FRAMES, ZH_SPAM_TEXTS, ZH_SPAM)


def harmless(_: Path) -> Iterator[Row]:
    """Look-alikes: violent, crude or sad words in harmless sentences, and plain small talk."""
    yield from _filled(EN_HARMLESS_FRAMES, EN_HARMLESS, CLEAN)
    yield from _filled(ZH_HARMLESS_FRAMES, ZH_HARMLESS, CLEAN)
